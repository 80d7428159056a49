// store/store.h: adapters of many tenants, by name and version, on LMDB or PostgreSQL. Without LibTorch: rows are
// bytes.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "store/reference.h"
#include "store/row_value.h"
#include "store/shared_object.h"

namespace loraxs {

/// A value that owns its bytes.
struct StoredRow {
  AdapterName name;
  RowHeader header;
  std::vector<std::byte> row;
  std::string tail;
};

/// An adapter to put. `header`: version 0 = the next, else at least this one; created 0 = now; the row's digest is
/// computed.
struct NewRow {
  AdapterName name;
  RowHeader header;
  std::span<const std::byte> row;
  std::string tail;
};

struct PutResult {
  std::uint64_t version = 0;
  bool added = false;  // false: it is the newest already
};

/// What a list says of a version of an adapter.
struct RowInfo {
  AdapterName name;
  RowHeader header;
  std::size_t row_bytes = 0;
  std::string tail;
};

/// Hears a sentence of a thing that is wrong, and what was asked for goes on without it. Where nobody hears, the first
/// one's Error is thrown.
using OnProblem = std::function<void(const std::string& problem)>;
inline const OnProblem kPassOver = [](const std::string&) {};
/// Runs `check`; the Error that it throws is a problem that is told. Where nobody hears, it is thrown on.
void tell_problem(const OnProblem& on_problem, const std::function<void()>& check);

struct ListQuery {
  std::string tenant;        // empty: all
  std::string prefix;        // of names, with a tenant
  AdapterName after;         // names behind this one; empty: from the first
  std::size_t limit = 1000;  // names at most
  OnProblem on_problem;      // hears of damaged rows, which are left out; none: the first one's Error is thrown
};

/// The highest version number that a name was ever given, also where that version was deleted.
struct LastNumber {
  AdapterName name;
  std::uint64_t version = 0;
};

struct CopyReport {
  std::uint64_t copied = 0;      // versions
  std::uint64_t renumbered = 0;  // of those: put under the next number, as their own had been given already
};

struct StoreStat {
  std::uint64_t adapters = 0, versions = 0;  // versions: of all adapters, the newest included
  std::uint64_t tenants = 0, kinds = 0, bases = 0;
  std::uint64_t value_bytes = 0;  // of all versions: headers, rows and tails
  std::uint64_t file_bytes = 0;   // what the store takes on its disk
};

/// One transaction of writes; what it reads cannot change before it ends.
class WriteTransaction {
 public:
  virtual ~WriteTransaction() = default;
  /// Says which names come, so that they can be read together. Before anything else.
  virtual void expect(std::span<const AdapterName> names) = 0;
  /// `version` 0: the newest. The views last until the next call.
  virtual std::optional<RowValue> find(const AdapterName& name, std::uint64_t version) = 0;
  virtual std::vector<std::uint64_t> versions(const AdapterName& name) = 0;  // newest first
  /// The highest number that the name was ever given; 0: none.
  virtual std::uint64_t last_number(const AdapterName& name) = 0;
  /// Neither `version` nor a lower number is given to the name again, whatever is erased.
  virtual void keep_number(const AdapterName& name, std::uint64_t version) = 0;
  /// A newer version than all there are, its number above last_number().
  virtual void add(const AdapterName& name, const RowHeader& header, std::span<const std::byte> value) = 0;
  virtual void erase(const AdapterName& name, std::uint64_t version) = 0;
  virtual void add_shared(SharedKind kind, const Digest& digest, std::string_view bytes) = 0;  // nothing where it is
};

/// Threads may use one object together. Every read is checked (XXH3), every write durable when it returns. All members
/// throw Error.
class Store {
 public:
  virtual ~Store() = default;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  const StoreUrl& url() const { return url_; }

  /// Calls `use` on a version (0 = the newest) inside a short read, and returns true; false where there is none. Copy
  /// what you need: `use` must not keep the views, nor call the store.
  virtual bool read(const AdapterName& name, std::uint64_t version,
                    const std::function<void(const RowValue&)>& use) = 0;
  /// The newest of each, from one moment; null: there is none.
  virtual void read_many(std::span<const AdapterName> names,
                         const std::function<void(std::size_t index, const RowValue* value)>& use) = 0;
  /// The newest of each name in order of tenant and name, `limit` at most: a page. Ask for the next behind its last.
  virtual std::vector<RowInfo> list(const ListQuery& query) = 0;
  /// Every name that has versions or had some, in order, behind `after` (empty: from the first), `limit` at most.
  /// Reads no rows: damaged ones count.
  virtual std::vector<LastNumber> last_numbers(const AdapterName& after, std::size_t limit,
                                               const OnProblem& on_problem = {}) = 0;
  /// Newest first; none where the adapter is not there. `on_problem` as ListQuery's.
  virtual std::vector<RowInfo> versions(const AdapterName& name, const OnProblem& on_problem = {}) = 0;
  /// Checked against its digest.
  virtual std::optional<std::string> shared(SharedKind kind, const Digest& digest) = 0;
  virtual std::vector<Digest> shared_digests(SharedKind kind) = 0;
  virtual StoreStat stat() = 0;
  /// Reads everything: order, names, counts, XXH3 and SHA-256. Tells `on_problem` a sentence per thing that is wrong;
  /// -> versions read.
  virtual std::uint64_t verify(const OnProblem& on_problem) = 0;

  /// A copy of `version`; a damaged newest one does not hide those before it. Throws where it is not there: unknown
  /// tenant, name (with near names of the same tenant) or version.
  StoredRow get(const AdapterName& name, std::uint64_t version = 0);
  /// The sentence of that.
  [[noreturn]] void fail_unknown(const AdapterName& name, std::uint64_t version);

  /// In the order given, durable at return; a batch that is larger than kBatchBytes takes several transactions. A row
  /// that is its name's newest already (row, kind, tail) adds nothing. `keep` > 0: older versions than so many go.
  std::vector<PutResult> put(std::span<const NewRow> rows, std::uint64_t keep = 0);
  PutResult put(const NewRow& row, std::uint64_t keep = 0);
  void put_shared(SharedKind kind, const Digest& digest, std::string_view bytes);
  /// The version becomes the newest again, under a new number; history stays.
  PutResult rollback(const AdapterName& name, std::uint64_t version);
  /// A version, or (0) all of the name. -> versions that went. Their numbers are not given again. Throws where there is
  /// none.
  std::uint64_t remove(const AdapterName& name, std::uint64_t version = 0);
  /// As WriteTransaction::keep_number.
  void keep_numbers(std::span<const LastNumber> numbers);

  /// Gives the bytes of what was deleted or replaced back to the disk. Readers and writers go on. Damaged rows keep
  /// their bytes; `on_problem` hears of each where rows are copied (LMDB).
  virtual void compact(const OnProblem& on_problem = {}) = 0;
  /// The store as it is at one moment, as an LMDB store in the new folder `folder`, while others read and write.
  /// `on_problem` hears of damaged rows: a copy of an LMDB store has their bytes too, one of PostgreSQL lacks them.
  virtual void backup(const std::filesystem::path& folder, const OnProblem& on_problem = {}) = 0;

  static constexpr std::size_t kBatchBytes = std::size_t{64} << 20;

 protected:
  explicit Store(StoreUrl url) : url_(std::move(url)) {}
  enum class Changes { kAdd, kErase };  // kErase: numbers are kept, which no writer beside may miss
  /// Runs `changes` in a transaction that is durable at return. It may be run again where another program came between.
  virtual void write(Changes what, const std::function<void(WriteTransaction&)>& changes) = 0;

 private:
  StoreUrl url_;
};

/// Throws the Error of a newest value that is damaged: it names its version, and the one of `versions`, newest first,
/// to roll back to.
[[noreturn]] void fail_damaged_newest(std::span<const std::byte> value, const RowPlace& place,
                                      std::span<const RowInfo> versions);

enum class OpenStore { kExisting, kCreate };
/// Opened once per process, however often it is asked for. kCreate makes it where nothing is. Throws Error.
std::shared_ptr<Store> open_store(const StoreUrl& url, OpenStore how = OpenStore::kExisting);

/// Copies all versions of all adapters that are newer than what `to` has, with their numbers, kinds and bases, and what
/// numbers were given. May be repeated. `on_problem` hears of what is damaged, and left out.
CopyReport copy_store(Store& from, Store& to, const OnProblem& on_problem = {});

}  // namespace loraxs
