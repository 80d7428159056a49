// text/token_model.h: what turns one piece of prepared text into token ids; one file per kind implements it.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/sha256.h"

namespace loraxs {

class TokenModel {
 public:
  virtual ~TokenModel() = default;
  /// Appends the ids of `piece` (valid UTF-8, not empty). Thread-safe.
  virtual void append_ids(std::string_view piece, std::vector<int32_t>& ids) const = 0;
  virtual std::optional<int32_t> id_of(std::string_view token) const = 0;
  /// The token of an id as the vocabulary writes it, or null.
  virtual const std::string* token_of(int32_t id) const = 0;
  virtual int64_t vocab_size() const = 0;
  /// Everything that changes the ids.
  virtual void add_to(Sha256& digest) const = 0;
};

}  // namespace loraxs
