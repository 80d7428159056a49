#include "io/system_error.h"

#include <cerrno>
#include <cstring>

#include "io/error.h"

namespace loraxs {

void fail_to(const std::string& action, const std::filesystem::path& path, int reason) {
  std::string hint;
  if (reason == ENOSPC || reason == EDQUOT || reason == EFBIG) hint = "; free some space or write to another disk";
  if (reason == EACCES || reason == EPERM || reason == EROFS) hint = "; choose a folder you may write to";
  if (reason == ENOENT) hint = "; its folder does not exist";
  throw Error(concat(path.string(), ": cannot ", action, ": ", std::strerror(reason), hint));
}

}  // namespace loraxs
