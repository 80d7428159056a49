// The page at /: files of src/serve/page inside the program.
#include <utility>

#include "io/sha256.h"
#include "serve/api/page_files.h"
#include "serve/api/route.h"

namespace loraxs {
namespace {

void send_file(const CallPtr& call, const PageFile& file) {
  const std::string etag = "\"" + sha256_hex(file.content).substr(0, 16) + "\"";
  HttpReply reply{
      .content_type = file.content_type,
      .headers = {{"ETag", etag},
                  {"Cache-Control", "no-cache"},
                  {"Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'"},
                  {"X-Content-Type-Options", "nosniff"},
                  {"Referrer-Policy", "no-referrer"}}};
  const auto& headers = call->request().headers;
  const auto known = headers.find("if-none-match");
  if (known != headers.end() && known->second.find(etag) != std::string::npos) {
    reply.status = 304;
  } else {
    reply.body = file.content;
  }
  call->reply(std::move(reply));
}

template <size_t index>
void page_file(const CallPtr& call) {
  send_file(call, kPageFiles[index]);
}

template <size_t index>
Route page_route() {
  const PageFile& file = kPageFiles[index];
  return {.method = "GET",
          .path = file.path,
          .handle = page_file<index>,
          .summary = "A file of the page.",
          .answer_type = file.media_type};
}

}  // namespace

std::vector<Route> page_routes() {
  static_assert(kNumPageFiles == 3);
  return {page_route<0>(), page_route<1>(), page_route<2>()};
}

}  // namespace loraxs
