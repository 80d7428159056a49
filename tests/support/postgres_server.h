// tests/support/postgres_server.h: a server of PostgreSQL of the tests' own: in a temporary folder, on a socket there.
#pragma once
#include <string>

namespace loraxs::test {

class PostgresServer {
 public:
  static bool is_there();  // whether initdb and the server are installed
  /// The one of this process, started at the first call and stopped at the end.
  static PostgresServer& instance();
  /// The URL of an empty database.
  std::string new_database();
  void run_sql(const std::string& url, const std::string& statement);
  void stop_immediately();  // as in a crash
  void start();
  ~PostgresServer();

 private:
  PostgresServer();
  void run(const std::string& command) const;
  std::string folder_;
  int databases_ = 0;
};

}  // namespace loraxs::test
