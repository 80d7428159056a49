// serve/http/reply_head.h: how an answer begins.
#pragma once
#include <string>
#include <string_view>

namespace loraxs {

/// 24 characters that no two requests share.
std::string fresh_id();

/// A value that may come from elsewhere, so that it cannot end its field.
std::string field_value(std::string value);

struct ReplyHead {
  int status = 0;
  std::string_view id, content_type;
  bool closes = false, stays = false;  // Connection: close, keep-alive; none: neither is said
};
/// Status line, Date, X-Request-Id, Content-Type where there is a body, Connection; without the empty line.
std::string reply_head(const ReplyHead& head);

/// Whether an answer of this status has no body at all.
[[nodiscard]] bool is_bare(int status);

}  // namespace loraxs
