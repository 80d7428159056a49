#include "support/postgres_server.h"

#include <pwd.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>

namespace loraxs::test {
namespace {

/// Debian keeps the server's programs beside its libraries.
std::string programs() {
  std::string newest;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/usr/lib/postgresql", ignored)) {
    const std::filesystem::path bin = entry.path() / "bin";
    if (std::filesystem::exists(bin / "initdb") && bin.string() > newest) newest = bin.string();
  }
  return newest;
}

}  // namespace

bool PostgresServer::is_there() { return !programs().empty(); }

PostgresServer& PostgresServer::instance() {
  static PostgresServer server;
  return server;
}

PostgresServer::PostgresServer() {
  std::string name = (std::filesystem::temp_directory_path() / "loraxs-pg-XXXXXX").string();
  folder_ = mkdtemp(name.data());
  // The server refuses root: nobody's rights do.
  if (geteuid() == 0) {
    const passwd* nobody = getpwnam("nobody");
    if (nobody == nullptr || chown(folder_.c_str(), nobody->pw_uid, nobody->pw_gid) != 0) {
      throw std::runtime_error("no user nobody");
    }
  }
  run(programs() + "/initdb -D " + folder_ + "/data -U loraxs -A trust --no-sync -E UTF8 --locale=C");
  start();
}

PostgresServer::~PostgresServer() {
  try {
    stop_immediately();
  } catch (const std::exception&) {  // the folder goes all the same
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void PostgresServer::run(const std::string& command) const {
  const std::string as =
      geteuid() == 0 ? "setpriv --reuid nobody --regid nogroup --clear-groups env HOME=" + folder_ + " " : "";
  const std::string line = "cd " + folder_ + " && " + as + command + " >" + folder_ + "/out 2>&1 </dev/null";
  if (std::system(line.c_str()) != 0) throw std::runtime_error("failed: " + line);
}

void PostgresServer::start() {
  // Full durability: what was acknowledged must outlive an immediate stop.
  run(programs() + "/pg_ctl -D " + folder_ + "/data -w -l " + folder_ + "/log -o \"-k " + folder_ +
      " -c listen_addresses='' -c max_connections=40\" start");
}

void PostgresServer::stop_immediately() { run(programs() + "/pg_ctl -D " + folder_ + "/data -m immediate -w stop"); }

void PostgresServer::run_sql(const std::string& url, const std::string& statement) {
  run("psql -q -v ON_ERROR_STOP=1 -c \"" + statement + "\" '" + url + "'");
}

std::string PostgresServer::new_database() {
  const std::string name = "db" + std::to_string(++databases_);
  run(programs() + "/createdb -h " + folder_ + " -U loraxs " + name);
  return "postgresql://loraxs@/" + name + "?host=" + folder_;
}

}  // namespace loraxs::test
