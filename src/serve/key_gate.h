// serve/key_gate.h: the gate over a keys file, and the one that is open.
#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "io/log.h"
#include "serve/gate.h"
#include "serve/keys.h"

namespace loraxs {

struct KeyGateOptions {
  std::function<double()> now;  // seconds that never go back; null: the machine's
  LogSink log;                  // a keys file that cannot be read any more
};

/// Knows callers by "Authorization: Bearer lxs_…". The file is looked at once a second at most, and read when it has
/// changed: a key that was revoked is refused within a second. A file that cannot be read leaves the keys as they were.
///
/// Quotas are a tenant's: of each kind the largest that one of its keys has (none where one has none). What a minute
/// may have is a bucket that fills evenly and holds one minute; tokens are taken when a request is admitted, as many as
/// it may use, and what it did not use comes back. Adapters are counted by what they are: those of the tenant's
/// requests that have not ended, each once.
class KeyGate final : public Gate {
 public:
  /// Throws Error when the file cannot be read.
  explicit KeyGate(std::filesystem::path path, KeyGateOptions options = {});
  ~KeyGate() override;

  Caller check(const HttpRequest& request, Right right) override;
  std::unique_ptr<Admission> admit(const Caller& caller, const Demand& demand) override;
  /// Of a tenant; without bounds for one that has no key.
  KeyQuotas quotas(const std::string& tenant);

  static constexpr double kPollSeconds = 0.5;

 private:
  class Keys;
  std::shared_ptr<Keys> keys_;  // with those who were admitted
};

/// Everybody may do everything.
class OpenGate final : public Gate {
 public:
  Caller check(const HttpRequest& request, Right right) override;
  std::unique_ptr<Admission> admit(const Caller& caller, const Demand& demand) override;
};

}  // namespace loraxs
