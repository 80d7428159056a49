#include "store/lmdb_store.h"

#include <sys/stat.h>

#include <algorithm>
#include <map>

#include "io/atomic_file.h"
#include "io/error.h"
#include "io/system_error.h"
#include "io/text_file.h"
#include "io/unfinished.h"
#include "store/generation.h"
#include "store/lmdb_environment.h"
#include "store/lmdb_reader.h"
#include "store/lmdb_state.h"
#include "store/lmdb_writer.h"
#include "store/write_lock.h"

namespace loraxs {
namespace {

constexpr const char *kFormatFile = "loraxs-store", *kCurrentFile = "current", *kLockFile = "writer";
constexpr const char* kStoreFormat = "loraxs-store-1";

class LmdbStore : public Store {
 public:
  explicit LmdbStore(const StoreUrl& url) : Store(url), folder_(url.path), generation_(folder_ / kCurrentFile) {
    const LmdbTransaction read = environment()->begin_read();
    check_state(read);
  }

  bool read(const AdapterName& name, std::uint64_t version, const std::function<void(const RowValue&)>& use) override {
    return reader().read(name, version, use);
  }

  void read_many(std::span<const AdapterName> names,
                 const std::function<void(std::size_t, const RowValue*)>& use) override {
    const LmdbReader rows = reader();
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (!rows.read(names[i], 0, [&](const RowValue& value) { use(i, &value); })) use(i, nullptr);
    }
  }

  std::vector<RowInfo> list(const ListQuery& query) override { return reader().list(query); }

  std::vector<LastNumber> last_numbers(const AdapterName& after, std::size_t limit,
                                       const OnProblem& on_problem) override {
    return reader().last_numbers(after, limit, on_problem);
  }

  std::vector<RowInfo> versions(const AdapterName& name, const OnProblem& on_problem) override {
    return reader().versions(name, on_problem);
  }

  std::optional<std::string> shared(SharedKind kind, const Digest& digest) override {
    return reader().shared(kind, digest);
  }

  std::vector<Digest> shared_digests(SharedKind kind) override { return reader().shared_digests(kind); }

  StoreStat stat() override {
    const auto opened = environment();
    const LmdbTransaction transaction = opened->begin_read();
    check_state(transaction);
    StoreStat stat{.kinds = 0, .file_bytes = opened->file_bytes()};
    const StoreState state = state_of(transaction);
    stat.adapters = state.adapters;
    stat.versions = state.versions;
    std::string tenant;
    for (const LmdbTable table : {LmdbTable::kRows, LmdbTable::kHistory}) {
      LmdbCursor cursor(transaction, table);
      for (bool more = cursor.seek(""); more; more = cursor.next()) {
        stat.value_bytes += cursor.value().size();
        const std::string_view key = cursor.key(), mine = key.substr(0, key.find('\0'));
        if (table != LmdbTable::kRows || (mine == tenant && stat.tenants > 0)) continue;
        tenant = mine;
        ++stat.tenants;
      }
    }
    LmdbCursor cursor(transaction, LmdbTable::kShared);
    for (bool more = cursor.seek(""); more; more = cursor.next()) {
      ++(cursor.key().front() == static_cast<char>(SharedKind::kKind) ? stat.kinds : stat.bases);
    }
    return stat;
  }

  std::uint64_t verify(const OnProblem& on_problem) override {
    const LmdbReader rows = reader();
    tell_problem(on_problem, [&] { check_state(rows.transaction()); });
    return rows.verify(on_problem, /*digests=*/true);
  }

  void compact(const OnProblem& on_problem) override {
    const WriteLock lock(folder_ / kLockFile, "compact");
    const auto opened = environment();
    LmdbReader(*opened, url()).verify(on_problem, /*digests=*/false);
    remove_leftovers();
    const std::uint64_t next = generation_.number() + 1;
    write_folder_atomically(folder_ / std::to_string(next),
                            [&](const std::filesystem::path& folder) { copy_generation(*opened, folder); });
    generation_.publish(next);
    std::error_code ignored;  // programs that still read the old one keep its bytes until they look again
    std::filesystem::remove_all(opened->folder(), ignored);
  }

  void backup(const std::filesystem::path& folder, const OnProblem& on_problem) override {
    refuse_existing(folder, "--out");
    const auto opened = environment();
    write_folder_atomically(folder, [&](const std::filesystem::path& aside) {
      lay_out(aside);
      make_folder(aside / "1");
      copy_generation(*opened, aside / "1");
      const auto copy = LmdbEnvironment::open(aside / "1", 0, /*create=*/false);
      LmdbReader(*copy, url()).verify(on_problem, /*digests=*/false);  // of that moment, by this name
    });
  }

  /// What a store's folder has beside its data.
  static void lay_out(const std::filesystem::path& folder) {
    write_file_atomically(folder / kFormatFile, std::string_view("loraxs-store-1\n"));
    Generation::write(folder / kCurrentFile, 1);
  }

 protected:
  void write(Changes /*what*/, const std::function<void(WriteTransaction&)>& changes) override {
    const WriteLock lock(folder_ / kLockFile, "write");
    const auto opened = environment();
    try {
      LmdbTransaction transaction = opened->begin_write();
      LmdbWriter writer(transaction, url());
      changes(writer);
      if (!writer.changed()) return;
      writer.finish();
      transaction.commit();
    } catch (...) {
      forget(opened);  // after a write that failed LMDB may want to be opened again
      throw;
    }
  }

 private:
  std::shared_ptr<LmdbEnvironment> environment() {
    const std::lock_guard lock(mutex_);
    constexpr int kTries = 100;  // a compaction may replace it while we open it
    for (int tried = 1; environment_ == nullptr || opened_ != generation_.number(); ++tried) {
      const std::uint64_t number = generation_.number();
      try {
        environment_.reset();
        environment_ = LmdbEnvironment::open(folder_ / std::to_string(number), url().map_gb, /*create=*/false);
        opened_ = number;
      } catch (const Error&) {
        if (number == generation_.number() || tried == kTries) throw;
      }
    }
    return environment_;
  }

  LmdbReader reader() { return LmdbReader(*environment(), url()); }

  void forget(const std::shared_ptr<LmdbEnvironment>& opened) {
    const std::lock_guard lock(mutex_);
    if (environment_ == opened) environment_.reset();
  }

  static void copy_generation(const LmdbEnvironment& from, const std::filesystem::path& folder) {
    from.copy_to(folder);
    const auto copy = LmdbEnvironment::open(folder, 0, /*create=*/false);
    LmdbTransaction transaction = copy->begin_write();  // its writes are counted anew
    put_state(transaction, state_of(transaction));
    transaction.commit();
  }

  /// Folders of compactions that did not come to their end.
  void remove_leftovers() const {
    remove_unfinished(folder_);
    const std::string current = std::to_string(generation_.number());
    std::vector<std::filesystem::path> old;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      const std::string name = entry.path().filename().string();
      const bool numbered = std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; });
      if (numbered && name != current && entry.is_directory()) old.push_back(entry.path());
    }
    for (const std::filesystem::path& folder : old) std::filesystem::remove_all(folder);
  }

  std::filesystem::path folder_;
  Generation generation_;
  std::mutex mutex_;
  std::shared_ptr<LmdbEnvironment> environment_;
  std::uint64_t opened_ = 0;
};

void create_store(const std::filesystem::path& folder, std::uint64_t map_gb) {
  write_folder_atomically(folder, [&](const std::filesystem::path& aside) {
    LmdbStore::lay_out(aside);
    make_folder(aside / "1");
    const auto environment = LmdbEnvironment::open(aside / "1", map_gb, /*create=*/true);
    LmdbTransaction transaction = environment->begin_write();
    put_state(transaction, {});
    transaction.commit();
  });
}

void check_folder(const StoreUrl& url) {
  const std::filesystem::path folder = url.path;
  std::error_code code;
  if (!std::filesystem::is_directory(folder, code)) {
    throw Error(concat(url.text, ": expected a store, found ",
                       std::filesystem::exists(folder, code) ? "a file; a store is a folder"
                                                             : "no such folder; loraxs store put makes one"));
  }
  if (!std::filesystem::exists(folder / kFormatFile, code)) {
    if (std::filesystem::exists(folder / kCurrentFile, code)) {
      throw Error(concat((folder / kFormatFile).string(), ": damaged: the store lacks this file of its own; put a ",
                         "backup in the store's place"));
    }
    throw Error(concat(url.text, ": expected a folder that loraxs store put made, found another",
                       std::filesystem::exists(folder / "data.mdb", code) ? ", of some other LMDB program" : ""));
  }
  std::string format = read_text_file(folder / kFormatFile);
  if (format.ends_with('\n')) format.pop_back();
  if (format == kStoreFormat) return;
  throw Error(concat(url.text, ": expected a store of format ", kStoreFormat, ", found \"", shortened(format, 40), "\"",
                     format.starts_with("loraxs-store-") ? "; a newer loraxs wrote it" : ""));
}

}  // namespace

std::shared_ptr<Store> open_lmdb_store(const StoreUrl& url, OpenStore how) {
  // LMDB allows a process to open a file once: locks of the system are lost at a second close (lmdb.h, "Caveats").
  static std::mutex mutex;
  static std::map<std::string, std::weak_ptr<Store>> opened;
  const std::lock_guard lock(mutex);
  std::error_code code;
  if (how == OpenStore::kCreate && !std::filesystem::exists(url.path, code)) {
    try {
      create_store(url.path, url.map_gb);
    } catch (const Error&) {
      if (!std::filesystem::exists(url.path, code)) throw;  // else another program was faster
    }
  }
  check_folder(url);
  std::weak_ptr<Store>& place = opened[std::filesystem::canonical(url.path).string()];
  std::shared_ptr<Store> store = place.lock();
  if (store == nullptr) {
    store = std::make_shared<LmdbStore>(url);
    place = store;
  }
  return store;
}

}  // namespace loraxs
