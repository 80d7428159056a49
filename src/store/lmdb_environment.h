// store/lmdb_environment.h: one generation of an LMDB store: its mapped file, its tables, transactions on them.
#pragma once
#include <lmdb.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/watched_reading.h"

namespace loraxs {

/// Keys and values of the tables (docs/formats.md):
enum class LmdbTable : std::size_t {
  kRows = 0,     // tenant 0 name                     -> the newest value
  kHistory = 1,  // tenant 0 name 0 big-endian ~version -> an older value
  kNames = 2,    // tenant 0 name                     -> version of the newest; what is in one but not the other: damage
  kShared = 3,   // kind byte, digest                 -> bytes
  kState = 4,    // "state"                           -> StoreState
                 // tenant 0 name                     -> the highest version that was given, where it was deleted
};
inline constexpr std::size_t kLmdbTables = 5;

/// Throws Error "FOLDER: cannot ACTION: REASON; hint" for a return code of LMDB that is not 0.
void check_lmdb(int code, const char* action, const std::filesystem::path& folder);

class LmdbEnvironment;

/// A transaction that ends with the object: a read goes back to its environment, a write that was not committed is
/// undone.
class LmdbTransaction {
 public:
  LmdbTransaction(std::shared_ptr<LmdbEnvironment> environment, MDB_txn* transaction, bool writes);
  ~LmdbTransaction();
  LmdbTransaction(const LmdbTransaction&) = delete;
  LmdbTransaction& operator=(const LmdbTransaction&) = delete;

  MDB_txn* get() const { return transaction_; }
  std::uint64_t id() const { return mdb_txn_id(transaction_); }
  LmdbEnvironment& environment() const { return *environment_; }
  std::optional<std::span<const std::byte>> find(LmdbTable table, std::string_view key) const;
  void put(LmdbTable table, std::string_view key, std::span<const std::byte> value, unsigned flags = 0);
  bool erase(LmdbTable table, std::string_view key);  // false: it was not there
  std::uint64_t entries(LmdbTable table) const;
  void commit();

 private:
  std::shared_ptr<LmdbEnvironment> environment_;
  MDB_txn* transaction_;
  bool writes_;
  WatchedReading watched_;  // LMDB follows whatever pointers its pages hold
};

/// A place in a table. Keys and values are views that last as long as the transaction, and until it writes.
class LmdbCursor {
 public:
  LmdbCursor(const LmdbTransaction& transaction, LmdbTable table);
  ~LmdbCursor() { mdb_cursor_close(cursor_); }
  LmdbCursor(const LmdbCursor&) = delete;
  LmdbCursor& operator=(const LmdbCursor&) = delete;

  bool seek(std::string_view key);  // the first entry from `key` on; false: none
  bool next();
  bool last();
  std::string_view key() const { return {static_cast<const char*>(key_.mv_data), key_.mv_size}; }
  std::span<const std::byte> value() const { return {static_cast<const std::byte*>(value_.mv_data), value_.mv_size}; }

 private:
  bool move(MDB_cursor_op op);
  const LmdbTransaction& transaction_;
  MDB_cursor* cursor_ = nullptr;
  MDB_val key_ = {}, value_ = {};
};

class LmdbEnvironment : public std::enable_shared_from_this<LmdbEnvironment> {
 public:
  /// Maps `folder`/data.mdb and checks its two heads; `create`: makes it and its tables. A disk that cannot be written
  /// is opened for reading. Throws Error.
  static std::shared_ptr<LmdbEnvironment> open(const std::filesystem::path& folder, std::uint64_t map_gb, bool create);
  ~LmdbEnvironment();
  LmdbEnvironment(const LmdbEnvironment&) = delete;
  LmdbEnvironment& operator=(const LmdbEnvironment&) = delete;

  const std::filesystem::path& folder() const { return folder_; }
  LmdbTransaction begin_read();
  LmdbTransaction begin_write();
  /// A copy of the newest state in a new file, without what is free; while others read and write.
  void copy_to(const std::filesystem::path& folder) const;
  std::uint64_t file_bytes() const;
  MDB_dbi table(LmdbTable table) const { return tables_[static_cast<std::size_t>(table)]; }

 private:
  friend class LmdbTransaction;
  explicit LmdbEnvironment(std::filesystem::path folder);
  void open_tables(bool create);
  void take_back(MDB_txn* transaction);

  std::filesystem::path folder_;
  MDB_env* env_ = nullptr;
  bool read_only_ = false;
  MDB_dbi tables_[kLmdbTables] = {};
  std::string lost_;  // what to say where a page of the map is gone, or leads nowhere
  std::mutex mutex_;
  std::vector<MDB_txn*> idle_;  // reads that were reset: they keep their place in the readers' table
};

}  // namespace loraxs
