#include "store/lmdb_store.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "io/atomic_file.h"
#include "io/error.h"
#include "io/system_error.h"
#include "io/text_file.h"
#include "io/unfinished.h"
#include "store/generation.h"
#include "store/lmdb_environment.h"
#include "store/lmdb_keys.h"
#include "store/lmdb_state.h"
#include "store/lmdb_writer.h"
#include "store/write_lock.h"

namespace loraxs {
namespace {

constexpr const char *kFormatFile = "loraxs-store", *kCurrentFile = "current", *kLockFile = "writer";
constexpr const char* kStoreFormat = "loraxs-store-1";

RowInfo info_of(const AdapterName& name, const RowValue& value) {
  return {.name = name, .header = value.header, .row_bytes = value.row.size(), .tail = std::string(value.tail)};
}

class LmdbStore : public Store {
 public:
  explicit LmdbStore(const StoreUrl& url) : Store(url), folder_(url.path), generation_(folder_ / kCurrentFile) {
    const LmdbTransaction read = environment()->begin_read();
    check_state(read);
  }

  bool read(const AdapterName& name, std::uint64_t version, const std::function<void(const RowValue&)>& use) override {
    const LmdbTransaction transaction = environment()->begin_read();
    return read_in(transaction, name, version, use);
  }

  void read_many(std::span<const AdapterName> names,
                 const std::function<void(std::size_t, const RowValue*)>& use) override {
    const LmdbTransaction transaction = environment()->begin_read();
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (!read_in(transaction, names[i], 0, [&](const RowValue& value) { use(i, &value); })) use(i, nullptr);
    }
  }

  std::vector<RowInfo> list(const ListQuery& query) override {
    const LmdbTransaction transaction = environment()->begin_read();
    const std::string begin = query.tenant.empty() ? std::string() : list_prefix(query.tenant, query.prefix);
    std::string from = begin;
    if (!query.after.tenant.empty()) from = std::max(from, adapter_key(query.after) + '\x01');
    LmdbCursor rows(transaction, LmdbTable::kRows), names(transaction, LmdbTable::kNames);
    std::vector<RowInfo> found;
    std::string before;
    bool more = rows.seek(from), more_names = names.seek(from);
    while (true) {
      const bool row_here = more && rows.key().starts_with(begin),
                 name_here = more_names && names.key().starts_with(begin);
      if (row_here != name_here || (row_here && rows.key() != names.key()) || (row_here && rows.key() <= before)) {
        fail_torn(url().text, concat("its rows and its names differ at ", row_here    ? shown_key(rows.key())
                                                                          : name_here ? shown_key(names.key())
                                                                                      : "the end"));
      }
      if (!row_here || found.size() >= query.limit) return found;
      before = rows.key();
      tell_problem(query.on_problem, [&] { found.push_back(info_at(rows.key(), rows.value(), names.value())); });
      more = rows.next();
      more_names = names.next();
    }
  }

  std::vector<LastNumber> last_numbers(const AdapterName& after, std::size_t limit,
                                       const OnProblem& on_problem) override {
    const LmdbTransaction transaction = environment()->begin_read();
    const std::string from = after.tenant.empty() ? std::string() : adapter_key(after) + '\x01';
    LmdbCursor names(transaction, LmdbTable::kNames), kept(transaction, LmdbTable::kState);
    bool more_names = names.seek(from), more_kept = kept.seek(from);
    std::vector<LastNumber> found;
    while (found.size() < limit) {
      while (more_kept && is_state_key(kept.key())) more_kept = kept.next();
      if (!more_names && !more_kept) break;
      const bool names_first = more_names && (!more_kept || names.key() <= kept.key());
      const std::string key(names_first ? names.key() : kept.key());
      LastNumber last;
      for (const auto& [cursor, more] : {std::pair(&names, &more_names), std::pair(&kept, &more_kept)}) {
        if (!*more || cursor->key() != key) continue;
        tell_problem(on_problem, [&] {
          last.name = name_of_key(key, url().text);
          last.version = std::max(last.version, version_in(cursor->value(), key, url().text));
        });
        *more = cursor->next();
      }
      if (!last.name.tenant.empty()) found.push_back(std::move(last));
    }
    return found;
  }

  std::vector<RowInfo> versions(const AdapterName& name, const OnProblem& on_problem) override {
    std::vector<RowInfo> found;
    if (!is_adapter_name(name)) return found;
    const LmdbTransaction transaction = environment()->begin_read();
    const std::string key = adapter_key(name);
    const auto row = transaction.find(LmdbTable::kRows, key), record = transaction.find(LmdbTable::kNames, key);
    if (!row && !record) return found;
    tell_problem(on_problem, [&] {
      if (!row || !record) fail_torn(shown_reference(url(), name), "its name or its row is not there");
      found.push_back(info_at(key, *row, *record));
    });
    const std::string prefix = history_prefix(name);
    LmdbCursor cursor(transaction, LmdbTable::kHistory);
    for (bool more = cursor.seek(prefix); more && cursor.key().starts_with(prefix); more = cursor.next()) {
      tell_problem(on_problem,
                   [&] { found.push_back(info_of(name, older_value(cursor.key(), cursor.value(), name))); });
    }
    return found;
  }

  std::optional<std::string> shared(SharedKind kind, const Digest& digest) override {
    return shared_in(environment()->begin_read(), kind, digest);
  }

  std::vector<Digest> shared_digests(SharedKind kind) override {
    return shared_digests_in(environment()->begin_read(), kind);
  }

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
    const LmdbTransaction transaction = environment()->begin_read();
    tell_problem(on_problem, [&] { check_state(transaction); });
    return verify_in(transaction, on_problem, /*digests=*/true);
  }

  void compact(const OnProblem& on_problem) override {
    const WriteLock lock(folder_ / kLockFile, "compact");
    const auto opened = environment();
    verify_in(opened->begin_read(), on_problem, /*digests=*/false);
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
      verify_in(copy->begin_read(), on_problem, /*digests=*/false);  // of that moment, and with this store's name
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

  void forget(const std::shared_ptr<LmdbEnvironment>& opened) {
    const std::lock_guard lock(mutex_);
    if (environment_ == opened) environment_.reset();
  }

  bool read_in(const LmdbTransaction& transaction, const AdapterName& name, std::uint64_t version,
               const std::function<void(const RowValue&)>& use) {
    const std::string key = adapter_key(name);
    if (version != 0) {
      const std::string old_key = history_key(name, version);
      if (const auto old = transaction.find(LmdbTable::kHistory, old_key)) {
        use(older_value(old_key, *old, name));
        return true;
      }
    }
    const auto newest = transaction.find(LmdbTable::kRows, key);
    if (!newest) {
      if (!transaction.find(LmdbTable::kNames, key)) return false;
      fail_torn(shown_reference(url(), name, version), "its name is there and its row is not");
    }
    RowValue value;
    try {
      value = decode_value(*newest, name, version);
    } catch (const Error&) {
      const auto record = transaction.find(LmdbTable::kNames, key);
      if (!record) fail_torn(shown_reference(url(), name), "its row is there and its name is not");
      const std::uint64_t there = version_in(*record, key, url().text);
      if (version != 0 && version != there) return false;
      fail_damaged_newest(*newest, name, there);
    }
    if (version != 0 && version != value.header.version) return false;
    use(value);
    return true;
  }

  std::optional<std::string> shared_in(const LmdbTransaction& transaction, SharedKind kind,
                                       const Digest& digest) const {
    const auto found = transaction.find(LmdbTable::kShared, shared_key(kind, digest));
    if (!found) return std::nullopt;
    std::string bytes(reinterpret_cast<const char*>(found->data()), found->size());
    check_shared(kind, digest, bytes, url().text);
    return bytes;
  }

  std::vector<Digest> shared_digests_in(const LmdbTransaction& transaction, SharedKind kind) const {
    std::vector<Digest> digests;
    const std::string prefix(1, static_cast<char>(kind));
    LmdbCursor cursor(transaction, LmdbTable::kShared);
    for (bool more = cursor.seek(prefix); more && cursor.key().starts_with(prefix); more = cursor.next()) {
      if (cursor.key().size() != 1 + sizeof(Digest)) fail_torn(url().text, "the name of a kind is none");
      digests.emplace_back();
      std::memcpy(digests.back().data(), cursor.key().data() + 1, sizeof(Digest));
    }
    return digests;
  }

  /// All but the counts of the state; `digests`: SHA-256 of the rows too, behind their XXH3.
  std::uint64_t verify_in(const LmdbTransaction& transaction, const OnProblem& on_problem, bool digests) const {
    std::uint64_t read = 0;
    const auto attempt = [&](const auto& check) { tell_problem(on_problem, check); };
    for (const SharedKind kind : {SharedKind::kKind, SharedKind::kBasis}) {
      attempt([&] {
        for (const Digest& digest : shared_digests_in(transaction, kind)) {
          attempt([&] {
            const std::optional<std::string> bytes = shared_in(transaction, kind, digest);
            if (bytes && kind == SharedKind::kKind) parse_kind(*bytes, url().text);
          });
        }
      });
    }
    const auto check_value = [&](const RowValue& value, const RowPlace& place) {
      if (digests) check_row_digest(value, place);
      if (!transaction.find(LmdbTable::kShared, shared_key(SharedKind::kKind, value.header.kind))) {
        fail_torn(place.text(), concat("its kind ", digest_hex(value.header.kind).substr(0, 16), "… is not there"));
      }
    };
    attempt([&] {
      LmdbCursor rows(transaction, LmdbTable::kRows), names(transaction, LmdbTable::kNames);
      std::string before;
      bool more = rows.seek(""), more_names = names.seek("");
      for (; more && more_names; more = rows.next(), more_names = names.next(), ++read) {
        if (rows.key() != names.key() || rows.key() <= before) {
          fail_torn(url().text, concat("its rows and its names differ at ", shown_key(rows.key())));
        }
        before = rows.key();
        attempt([&] {
          const AdapterName name = name_of_key(rows.key(), url().text);
          const std::uint64_t version = info_at(rows.key(), rows.value(), names.value()).header.version;
          check_value(decode_value(rows.value(), name, version), {url(), name, version});
        });
      }
      if (more != more_names) fail_torn(url().text, "its rows and its names differ at the end");
    });
    attempt([&] {
      LmdbCursor cursor(transaction, LmdbTable::kHistory);
      std::string before;
      for (bool more = cursor.seek(""); more; more = cursor.next(), ++read) {
        if (cursor.key() <= before) fail_torn(url().text, "its older rows are out of order");
        before = cursor.key();
        attempt([&] {
          const AdapterName name = name_of_history_key(cursor.key(), url().text);
          const RowPlace place{url(), name, version_of_key(cursor.key())};
          check_value(older_value(cursor.key(), cursor.value(), name), place);
          if (!transaction.find(LmdbTable::kNames, adapter_key(name))) fail_torn(place.text(), "its name is not there");
        });
      }
    });
    attempt([&] {
      LmdbCursor cursor(transaction, LmdbTable::kState);
      for (bool more = cursor.seek(""); more; more = cursor.next()) {
        if (is_state_key(cursor.key())) continue;
        attempt([&] {
          name_of_key(cursor.key(), url().text);
          version_in(cursor.value(), cursor.key(), url().text);
        });
      }
    });
    return read;
  }

  RowValue decode_value(std::span<const std::byte> bytes, const AdapterName& name, std::uint64_t version) const {
    return decode_row_value(bytes, {url(), name, version});
  }

  RowValue older_value(std::string_view key, std::span<const std::byte> bytes, const AdapterName& name) const {
    const std::uint64_t version = version_of_key(key);
    const RowValue value = decode_value(bytes, name, version);
    if (value.header.version != version) {
      fail_torn(shown_reference(url(), name, version), concat("found version ", value.header.version, " in its place"));
    }
    return value;
  }

  RowInfo info_at(std::string_view key, std::span<const std::byte> row, std::span<const std::byte> record) const {
    const AdapterName name = name_of_key(key, url().text);
    const std::uint64_t version = version_in(record, key, url().text);
    const RowValue value = decode_value(row, name, version);
    if (version != value.header.version) {
      fail_torn(shown_reference(url(), name), "its newest version is another than its name says");
    }
    return info_of(name, value);
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
