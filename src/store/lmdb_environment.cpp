#include "store/lmdb_environment.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "io/error.h"
#include "io/input_file.h"
#include "io/system_error.h"
#include "store/reference.h"

namespace loraxs {
namespace {

constexpr const char* kTableNames[kLmdbTables] = {"rows", "history", "names", "shared", "state"};
constexpr unsigned kReaders = 1024;
constexpr const char* kDataFile = "data.mdb";

// The head of an LMDB 0.9 file (lmdb's mdb.c, MDB_page and MDB_meta): two pages, each with a meta behind 16 bytes.
constexpr std::uint32_t kLmdbMagic = 0xBEEFC0DE, kLmdbVersion = 1;
constexpr std::size_t kHeadMagicAt = 16, kHeadVersionAt = 20, kLastPageAt = 136, kHeadTransactionAt = 144;
constexpr std::size_t kPageSizeAt = 40;  // md_pad of the free list's table holds it

struct LmdbHead {
  std::uint32_t magic = 0, version = 0, page_bytes = 0;
  std::uint64_t last_page = 0, transaction = 0;
};

LmdbHead head_at(std::span<const std::byte> bytes) {
  LmdbHead head;
  std::memcpy(&head.magic, bytes.data() + kHeadMagicAt, sizeof head.magic);
  std::memcpy(&head.version, bytes.data() + kHeadVersionAt, sizeof head.version);
  std::memcpy(&head.page_bytes, bytes.data() + kPageSizeAt, sizeof head.page_bytes);
  std::memcpy(&head.last_page, bytes.data() + kLastPageAt, sizeof head.last_page);
  std::memcpy(&head.transaction, bytes.data() + kHeadTransactionAt, sizeof head.transaction);
  return head;
}

[[noreturn]] void fail_file(const std::filesystem::path& file, const std::string& what) {
  throw Error(concat(file.string(), ": damaged: ", what, "; put a backup in the store's place"));
}

/// What LMDB takes for granted: both heads are of this format, the newer one follows on the older, and the file is as
/// long as they say.
void check_heads(const std::filesystem::path& file) {
  constexpr int kTries = 20;  // a writer may be at it
  const auto page_bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  for (int tried = 1;; ++tried) {
    const InputFile input(file);
    const std::size_t size = input.size();
    if (size < 2 * page_bytes) {
      fail_file(file, concat("expected at least ", 2 * page_bytes, " bytes, found ", size, "; the file was cut"));
    }
    std::vector<std::byte> bytes(2 * page_bytes);
    input.read(bytes);
    const LmdbHead heads[2] = {head_at(bytes), head_at(std::span(bytes).subspan(page_bytes))};
    std::string problem;
    for (std::size_t i = 0; i < 2; ++i) {
      const LmdbHead& head = heads[i];
      if (head.magic != kLmdbMagic) problem = "expected an LMDB file, found another beginning";
      if (head.magic == kLmdbMagic && head.version != kLmdbVersion) {
        throw Error(concat(file.string(), ": expected the format of LMDB 0.9, found format ", head.version,
                           "; another version of LMDB wrote it: loraxs store copy, with the program that wrote it, ",
                           "brings it to a store of this one"));
      }
      if (head.page_bytes != page_bytes) problem = concat("expected pages of ", page_bytes, " bytes");
      if (head.transaction != 0 && head.transaction % 2 != i) problem = "its heads do not follow on each other";
    }
    const std::uint64_t older = std::min(heads[0].transaction, heads[1].transaction),
                        newer = std::max(heads[0].transaction, heads[1].transaction);
    // A compacted copy begins with transactions 1 and 0 or 1; all else counts on.
    if (newer - older > 1) problem = "its heads do not follow on each other";
    const LmdbHead& head = heads[0].transaction > heads[1].transaction ? heads[0] : heads[1];
    if (head.last_page >= size / page_bytes && problem.empty()) {
      problem = concat("expected ", head.last_page + 1, " pages of ", page_bytes, " bytes, found a file of ", size,
                       " bytes; it was cut");
    }
    if (problem.empty()) return;
    if (tried == kTries) fail_file(file, problem);
    ::usleep(500);
  }
}

/// LMDB meets a page that it takes for impossible: what it would say of itself is an assertion and an abort.
void on_impossible_page(MDB_env*, const char*) { end_watched_reading(); }

/// What LMDB's EIO for a page that was written in part stands for, where no byte is free.
int reason_of(int code, const std::filesystem::path& folder) {
  constexpr std::uintmax_t kFull = 1 << 16;
  std::error_code unknown;
  const std::filesystem::space_info space = std::filesystem::space(folder, unknown);
  return code == EIO && !unknown && space.available < kFull ? ENOSPC : code;
}

}  // namespace

void check_lmdb(int code, const char* action, const std::filesystem::path& folder) {
  if (code == MDB_SUCCESS) return;
  const std::string where = folder.string();
  switch (code) {
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_CURSOR_FULL:
    case MDB_BAD_TXN:
    case MDB_INCOMPATIBLE:
    case MDB_BAD_VALSIZE:
    case MDB_NOTFOUND:
      throw Error(
          concat(where, ": damaged: cannot ", action, ": ", mdb_strerror(code), "; put a backup in the store's place"));
    case MDB_VERSION_MISMATCH:
    case MDB_INVALID:
      throw Error(concat(where, ": expected a file of LMDB 0.9, found another format; loraxs store copy, with the ",
                         "program that wrote it, brings it to a store of this one"));
    case MDB_READERS_FULL:
      throw Error(concat(where, ": expected at most ", kReaders, " reads at a time, found all of them taken; end a ",
                         "program that reads the store"));
    case MDB_MAP_FULL:
      throw Error(concat(where,
                         ": expected a store that fits into its address space, found it full; ?map_gb=N in the "
                         "URL gives it more"));
    case MDB_PANIC:
      throw Error(concat(where, ": cannot ", action, " after a failed write; open the store again"));
    default:
      if (code > 0) fail_to(action, folder, reason_of(code, folder));
      throw Error(concat(where, ": cannot ", action, ": ", mdb_strerror(code)));
  }
}

LmdbTransaction::LmdbTransaction(std::shared_ptr<LmdbEnvironment> environment, MDB_txn* transaction, bool writes)
    : environment_(std::move(environment)), transaction_(transaction), writes_(writes), watched_(environment_->lost_) {}

LmdbTransaction::~LmdbTransaction() {
  if (transaction_ == nullptr) return;
  if (writes_) {
    mdb_txn_abort(transaction_);
  } else {
    environment_->take_back(transaction_);
  }
}

namespace {

MDB_val value_of(std::string_view text) { return {text.size(), const_cast<char*>(text.data())}; }

}  // namespace

std::optional<std::span<const std::byte>> LmdbTransaction::find(LmdbTable table, std::string_view key) const {
  MDB_val wanted = value_of(key), found;
  const int code = mdb_get(transaction_, environment_->table(table), &wanted, &found);
  if (code == MDB_NOTFOUND) return std::nullopt;
  check_lmdb(code, "read", environment_->folder());
  return std::span(static_cast<const std::byte*>(found.mv_data), found.mv_size);
}

void LmdbTransaction::put(LmdbTable table, std::string_view key, std::span<const std::byte> value, unsigned flags) {
  MDB_val where = value_of(key), what = {value.size(), const_cast<std::byte*>(value.data())};
  check_lmdb(mdb_put(transaction_, environment_->table(table), &where, &what, flags), "write", environment_->folder());
}

bool LmdbTransaction::erase(LmdbTable table, std::string_view key) {
  MDB_val where = value_of(key);
  const int code = mdb_del(transaction_, environment_->table(table), &where, nullptr);
  if (code == MDB_NOTFOUND) return false;
  check_lmdb(code, "delete", environment_->folder());
  return true;
}

std::uint64_t LmdbTransaction::entries(LmdbTable table) const {
  MDB_stat stat;
  check_lmdb(mdb_stat(transaction_, environment_->table(table), &stat), "count", environment_->folder());
  return stat.ms_entries;
}

void LmdbTransaction::commit() {
  check_lmdb(mdb_txn_commit(std::exchange(transaction_, nullptr)), "write", environment_->folder());
}

LmdbCursor::LmdbCursor(const LmdbTransaction& transaction, LmdbTable table) : transaction_(transaction) {
  check_lmdb(mdb_cursor_open(transaction.get(), transaction.environment().table(table), &cursor_), "read",
             transaction.environment().folder());
}

bool LmdbCursor::move(MDB_cursor_op op) {
  const int code = mdb_cursor_get(cursor_, &key_, &value_, op);
  if (code == MDB_NOTFOUND) return false;
  check_lmdb(code, "read", transaction_.environment().folder());
  return true;
}

bool LmdbCursor::seek(std::string_view key) {
  if (key.empty()) return move(MDB_FIRST);
  key_ = value_of(key);
  return move(MDB_SET_RANGE);
}

bool LmdbCursor::next() { return move(MDB_NEXT); }
bool LmdbCursor::last() { return move(MDB_LAST); }

LmdbEnvironment::LmdbEnvironment(std::filesystem::path folder)
    : folder_(std::move(folder)),
      lost_(
          safe_message(concat((folder_ / kDataFile).string(),
                              ": damaged: a page of it leads nowhere, or it was cut while in use; put a backup in the ",
                              "store's place"))) {}

std::shared_ptr<LmdbEnvironment> LmdbEnvironment::open(const std::filesystem::path& folder, std::uint64_t map_gb,
                                                       bool create) {
  const std::filesystem::path data = folder / kDataFile;
  if (!create) {
    if (std::error_code code; !std::filesystem::exists(data, code))
      fail_file(data, "the store lacks this file of its own");
    check_heads(data);
  }
  std::shared_ptr<LmdbEnvironment> environment(new LmdbEnvironment(folder));
  const std::size_t map_bytes = std::size_t{map_gb > 0 ? map_gb : kMapGb} << 30;
  const WatchedReading watched(environment->lost_);
  for (const unsigned flags : {0U, unsigned{MDB_RDONLY}}) {
    check_lmdb(mdb_env_create(&environment->env_), "open", folder);
    check_lmdb(mdb_env_set_mapsize(environment->env_, map_bytes), "open", folder);
    check_lmdb(mdb_env_set_maxreaders(environment->env_, kReaders), "open", folder);
    check_lmdb(mdb_env_set_maxdbs(environment->env_, kLmdbTables), "open", folder);
    check_lmdb(mdb_env_set_assert(environment->env_, on_impossible_page), "open", folder);
    const int code = mdb_env_open(environment->env_, folder.c_str(), flags | MDB_NOTLS, 0644);
    if (code == MDB_SUCCESS) {
      environment->read_only_ = flags != 0;
      break;
    }
    mdb_env_close(std::exchange(environment->env_, nullptr));
    if ((code == EROFS || code == EACCES) && flags == 0 && !create) continue;
    if (code == ENOMEM) {
      throw Error(concat(folder.string(), ": expected ", map_bytes >> 30, " GiB of address space, found less; ",
                         "?map_gb=N in the store's URL takes less, and a limit (ulimit -v) may forbid it"));
    }
    check_lmdb(code, "open", data);
  }
  int dead = 0;
  if (!environment->read_only_) check_lmdb(mdb_reader_check(environment->env_, &dead), "open", folder);
  environment->open_tables(create);
  return environment;
}

LmdbEnvironment::~LmdbEnvironment() {
  for (MDB_txn* transaction : idle_) mdb_txn_abort(transaction);
  if (env_ != nullptr) mdb_env_close(env_);
}

void LmdbEnvironment::open_tables(bool create) {
  MDB_txn* transaction = nullptr;
  check_lmdb(mdb_txn_begin(env_, nullptr, create ? 0 : MDB_RDONLY, &transaction), "open", folder_);
  for (std::size_t i = 0; i < kLmdbTables; ++i) {
    const int code = mdb_dbi_open(transaction, kTableNames[i], create ? MDB_CREATE : 0, &tables_[i]);
    if (code == MDB_SUCCESS) continue;
    mdb_txn_abort(transaction);
    if (code == MDB_NOTFOUND) fail_file(folder_ / kDataFile, concat("its table ", kTableNames[i], " is not there"));
    check_lmdb(code, "open", folder_);
  }
  check_lmdb(mdb_txn_commit(transaction), "open", folder_);
}

LmdbTransaction LmdbEnvironment::begin_read() {
  MDB_txn* transaction = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      transaction = idle_.back();
      idle_.pop_back();
    }
  }
  if (transaction != nullptr) {
    const int code = mdb_txn_renew(transaction);
    if (code != MDB_SUCCESS) mdb_txn_abort(transaction);
    check_lmdb(code, "read", folder_);
    return {shared_from_this(), transaction, false};
  }
  int code = mdb_txn_begin(env_, nullptr, MDB_RDONLY, &transaction);
  if (code == MDB_READERS_FULL) {
    int dead = 0;
    mdb_reader_check(env_, &dead);
    code = mdb_txn_begin(env_, nullptr, MDB_RDONLY, &transaction);
  }
  check_lmdb(code, "read", folder_);
  return {shared_from_this(), transaction, false};
}

LmdbTransaction LmdbEnvironment::begin_write() {
  if (read_only_) fail_to("write", folder_, EROFS);
  MDB_txn* transaction = nullptr;
  check_lmdb(mdb_txn_begin(env_, nullptr, 0, &transaction), "write", folder_);
  return {shared_from_this(), transaction, true};
}

void LmdbEnvironment::take_back(MDB_txn* transaction) {
  mdb_txn_reset(transaction);  // what is free may be used again by writers from here on
  const std::lock_guard lock(mutex_);
  idle_.push_back(transaction);
}

void LmdbEnvironment::copy_to(const std::filesystem::path& folder) const {
  check_lmdb(mdb_env_copy2(env_, folder.c_str(), MDB_CP_COMPACT), "copy to", folder);
}

std::uint64_t LmdbEnvironment::file_bytes() const { return std::filesystem::file_size(folder_ / kDataFile); }

}  // namespace loraxs
