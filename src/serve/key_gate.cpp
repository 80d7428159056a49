#include "serve/key_gate.h"

#include <openssl/crypto.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <map>
#include <mutex>

#include "io/error.h"
#include "io/sha256.h"

namespace loraxs {
namespace {

constexpr int kUnauthorized = 401, kForbidden = 403, kTooManyRequests = 429;
constexpr double kMinute = 60;

/// The larger of two bounds, of which 0 is none.
int64_t wider(int64_t a, int64_t b) { return a == 0 || b == 0 ? 0 : std::max(a, b); }

KeyQuotas wider(const KeyQuotas& a, const KeyQuotas& b) {
  return {.requests_per_minute = wider(a.requests_per_minute, b.requests_per_minute),
          .tokens_per_minute = wider(a.tokens_per_minute, b.tokens_per_minute),
          .bytes_per_minute = wider(a.bytes_per_minute, b.bytes_per_minute),
          .streams = wider(a.streams, b.streams),
          .adapters = wider(a.adapters, b.adapters)};
}

[[noreturn]] void refuse_quota(const std::string& message, double seconds, const char* code) {
  ApiError error(kTooManyRequests, message, "", code);
  error.retry_after = std::max(1, static_cast<int>(std::ceil(seconds)));
  throw error;
}

/// Whether a request may use these beside those in use.
void check_adapters(const std::map<std::string, int64_t>& in_use, const std::set<std::string>& wanted, int64_t most) {
  const auto count = static_cast<int64_t>(wanted.size());
  if (count > most) {
    throw ApiError(kTooManyRequests,
                   concat("expected at most ", most, " adapters, found ", count, " in one request; ask for fewer"), "",
                   "too_many_adapters");
  }
  const auto fresh =
      std::count_if(wanted.begin(), wanted.end(), [&](const auto& key) { return !in_use.contains(key); });
  if (static_cast<int64_t>(in_use.size()) + fresh <= most || fresh == 0) return;
  refuse_quota(concat("expected at most ", most, " adapters in requests at a time, found more; wait for one to end"), 1,
               "too_many_adapters");
}

/// What stands behind "Authorization: Bearer ".
std::string bearer_of(const HttpRequest& request) {
  const auto at = request.headers.find("authorization");
  constexpr std::string_view kScheme = "bearer ";
  if (at == request.headers.end()) {
    throw ApiError(kUnauthorized, "expected the header Authorization: Bearer lxs_…, found none", "", "invalid_api_key");
  }
  const std::string& value = at->second;
  const bool bearer = value.size() > kScheme.size() &&
                      std::equal(kScheme.begin(), kScheme.end(), value.begin(),
                                 [](char a, char b) { return a == (b >= 'A' && b <= 'Z' ? b - 'A' + 'a' : b); });
  return bearer ? value.substr(value.find_first_not_of(' ', kScheme.size() - 1)) : std::string();
}

}  // namespace

class KeyGate::Keys : public std::enable_shared_from_this<Keys> {
  /// What a minute may have, as a bucket that fills evenly.
  struct Bucket {
    double level = 0, since = 0;
    int64_t capacity = 0;  // 0: no bound

    void fill(double now, int64_t size) {
      if (size != capacity) {  // new, or another quota: what was used stays used
        level += static_cast<double>(size - capacity);
        capacity = size;
      }
      level = std::min(static_cast<double>(capacity), level + (now - since) * static_cast<double>(capacity) / kMinute);
      since = now;
    }
    /// Seconds until so much is there.
    double wait_for(int64_t amount) const {
      if (capacity == 0 || level >= static_cast<double>(amount)) return 0;
      return (static_cast<double>(amount) - level) * kMinute / static_cast<double>(capacity);
    }
    void take(int64_t amount) {
      if (capacity > 0) level -= static_cast<double>(amount);
    }
  };

  struct Tenant {
    KeyQuotas quotas;
    Bucket requests, tokens, bytes;
    int64_t streams = 0;
    std::map<std::string, int64_t> adapters;  // by key: requests that use it
  };

  /// Which file it was when it was read.
  struct FileState {
    dev_t device = 0;
    ino_t inode = 0;
    off_t size = -1;
    timespec changed{};
    static FileState of(const std::filesystem::path& path) {
      struct stat status {};
      if (::stat(path.c_str(), &status) != 0) return {};
      return {.device = status.st_dev, .inode = status.st_ino, .size = status.st_size, .changed = status.st_ctim};
    }
    bool operator==(const FileState& other) const {
      return device == other.device && inode == other.inode && size == other.size &&
             changed.tv_sec == other.changed.tv_sec && changed.tv_nsec == other.changed.tv_nsec;
    }
  };

 public:
  Keys(std::filesystem::path path, KeyGateOptions options) : path_(std::move(path)), options_(std::move(options)) {
    if (!options_.now) {
      options_.now = [] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
      };
    }
    state_ = FileState::of(path_);
    use(read_keys(path_));
    looked_ = options_.now();
  }

  Caller check(const HttpRequest& request, Right right) {
    const std::string key = bearer_of(request);
    // Keys are found by their digests: how long the search takes says something of a digest, and of no key.
    const std::string digest = is_key(key) ? sha256_hex(key) : std::string();
    const std::lock_guard lock(mutex_);
    look();
    const auto at = keys_.find(digest);
    if (at == keys_.end() || CRYPTO_memcmp(at->first.data(), digest.data(), digest.size()) != 0) {
      throw ApiError(kUnauthorized, "expected a key that this server knows, found another one or one that was revoked",
                     "", "invalid_api_key");
    }
    const KeyEntry& entry = at->second;
    const auto has = [&](Right wanted) {
      return std::find(entry.rights.begin(), entry.rights.end(), wanted) != entry.rights.end();
    };
    if (!has(right)) {
      throw ApiError(kForbidden, concat("expected a key with the right ", right_name(right), ", found ", entry.id), "",
                     "insufficient_rights");
    }
    return {.tenant = entry.tenant,
            .sees_all = has(Right::kOperate),
            .priority = entry.priority,
            .adapters = tenants_.at(entry.tenant).quotas.adapters};
  }

  std::unique_ptr<Admission> admit(const Caller& caller, const Demand& demand);

  KeyQuotas quotas(const std::string& tenant) {
    const std::lock_guard lock(mutex_);
    look();
    const auto at = tenants_.find(tenant);
    return at == tenants_.end() ? KeyQuotas() : at->second.quotas;
  }

  void let_go(const std::string& tenant, const std::set<std::string>& adapters, int64_t back) {
    const std::lock_guard lock(mutex_);
    const auto at = tenants_.find(tenant);
    if (at == tenants_.end()) return;
    --at->second.streams;
    at->second.tokens.take(-back);
    for (const std::string& each : adapters) {
      const auto used = at->second.adapters.find(each);
      if (--used->second == 0) at->second.adapters.erase(used);
    }
  }

 private:
  // The file as it is now. With the lock.
  void look() {
    const double now = options_.now();
    if (now - looked_ < kPollSeconds) return;
    looked_ = now;
    const FileState found = FileState::of(path_);
    if (found == state_) return;
    state_ = found;
    try {
      use(read_keys(path_));
    } catch (const Error& error) {
      if (options_.log) options_.log(LogLevel::kWarning, concat(error.what(), "; the keys stay as they were"));
    }
  }

  void use(const std::vector<KeyEntry>& entries) {
    keys_.clear();
    std::map<std::string, KeyQuotas> bounds;
    for (const KeyEntry& entry : entries) {
      if (entry.revoked != 0) continue;
      keys_.emplace(entry.sha256, entry);
      const auto [at, fresh] = bounds.emplace(entry.tenant, entry.quotas);
      if (!fresh) at->second = wider(at->second, entry.quotas);
    }
    // Who has streams under way is kept until the next change.
    std::erase_if(tenants_, [&](const auto& each) { return each.second.streams == 0 && !bounds.contains(each.first); });
    for (const auto& [name, quotas] : bounds) tenants_[name].quotas = quotas;
  }

  const std::filesystem::path path_;
  KeyGateOptions options_;
  std::mutex mutex_;
  FileState state_;
  double looked_ = 0;
  std::map<std::string, KeyEntry> keys_;  // by digest
  std::map<std::string, Tenant> tenants_;
};

namespace {

class CountedAdmission final : public Admission {
 public:
  CountedAdmission(std::function<void(int64_t back)> let_go, int64_t tokens)
      : let_go_(std::move(let_go)), tokens_(tokens) {}
  ~CountedAdmission() override { let_go_(tokens_ - used_); }
  CountedAdmission(const CountedAdmission&) = delete;
  CountedAdmission& operator=(const CountedAdmission&) = delete;
  void used(int64_t tokens) override { used_ = tokens; }

 private:
  const std::function<void(int64_t)> let_go_;
  const int64_t tokens_;
  std::atomic<int64_t> used_ = tokens_;  // who does not say it has used all
};

class FreeAdmission final : public Admission {
 public:
  void used(int64_t) override {}
};

}  // namespace

std::unique_ptr<Admission> KeyGate::Keys::admit(const Caller& caller, const Demand& demand) {
  const std::lock_guard lock(mutex_);
  const double now = options_.now();
  Tenant& tenant = tenants_[caller.tenant];
  const KeyQuotas& quotas = tenant.quotas;
  if (quotas.streams > 0 && tenant.streams >= quotas.streams) {
    refuse_quota(concat("expected at most ", quotas.streams, " requests at a time, found more; wait for one to end"), 1,
                 "too_many_streams");
  }
  if (quotas.adapters > 0) check_adapters(tenant.adapters, demand.adapters, quotas.adapters);
  struct Wanted {
    Bucket& bucket;
    int64_t quota, amount;
    const char *what, *code;
  };
  const Wanted all[] = {
      {tenant.requests, quotas.requests_per_minute, 1, "requests", "requests_per_minute"},
      {tenant.tokens, quotas.tokens_per_minute, demand.tokens, "tokens", "tokens_per_minute"},
      {tenant.bytes, quotas.bytes_per_minute, demand.bytes, "bytes", "bytes_per_minute"},
  };
  for (const Wanted& each : all) {
    each.bucket.fill(now, each.quota);
    if (each.quota > 0 && each.amount > each.quota) {
      throw ApiError(kTooManyRequests,
                     concat("expected at most ", each.quota, " ", each.what, " a minute, found ", each.amount,
                            " in one request; ask for less"),
                     "", each.code);
    }
    const double seconds = each.bucket.wait_for(each.amount);
    if (seconds > 0) {
      refuse_quota(concat("expected at most ", each.quota, " ", each.what, " a minute, found more; wait ",
                          std::ceil(seconds), " s"),
                   seconds, each.code);
    }
  }
  for (const Wanted& each : all) each.bucket.take(each.amount);
  ++tenant.streams;
  for (const std::string& each : demand.adapters) ++tenant.adapters[each];
  return std::make_unique<CountedAdmission>(
      [self = shared_from_this(), name = caller.tenant, adapters = demand.adapters](int64_t back) {
        self->let_go(name, adapters, back);
      },
      demand.tokens);
}

KeyGate::KeyGate(std::filesystem::path path, KeyGateOptions options)
    : keys_(std::make_shared<Keys>(std::move(path), std::move(options))) {}
KeyGate::~KeyGate() = default;
Caller KeyGate::check(const HttpRequest& request, Right right) { return keys_->check(request, right); }
std::unique_ptr<Admission> KeyGate::admit(const Caller& caller, const Demand& demand) {
  return keys_->admit(caller, demand);
}
KeyQuotas KeyGate::quotas(const std::string& tenant) { return keys_->quotas(tenant); }

Caller OpenGate::check(const HttpRequest&, Right) { return {.tenant = "", .sees_all = true, .priority = 0}; }
std::unique_ptr<Admission> OpenGate::admit(const Caller&, const Demand&) { return std::make_unique<FreeAdmission>(); }

}  // namespace loraxs
