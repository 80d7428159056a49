#include "store/store.h"

#include <chrono>

#include "io/error.h"
#include "io/fields.h"
#include "store/lmdb_store.h"
#include "store/postgres_store.h"
#include "store/row_numbers.h"

namespace loraxs {
namespace {

std::int64_t microseconds_now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
}

bool is_same(const RowValue& newest, const NewRow& row, const RowHeader& header) {
  return newest.header.row_digest == header.row_digest && newest.header.kind == header.kind &&
         newest.header.dtype == header.dtype && newest.tail == row.tail;
}

/// Versions behind the newest `keep`.
void prune(WriteTransaction& transaction, const AdapterName& name, std::uint64_t keep) {
  const std::vector<std::uint64_t> versions = transaction.versions(name);
  for (std::size_t i = keep; i < versions.size(); ++i) transaction.erase(name, versions[i]);
}

PutResult put_one(WriteTransaction& transaction, const NewRow& row, RowHeader header, const std::string& where) {
  const std::optional<RowValue> newest = transaction.find(row.name, 0);
  const std::uint64_t last = transaction.last_number(row.name);
  if (newest && header.version <= newest->header.version && is_same(*newest, row, header)) {
    return {.version = newest->header.version, .added = false};
  }
  header.version = std::max(header.version, last + 1);
  const std::vector<std::byte> value =
      encode_row_value(row.name, {.header = header, .row = row.row, .tail = row.tail}, where);
  transaction.add(row.name, header, value);
  return {.version = header.version, .added = true};
}

}  // namespace

void tell_problem(const OnProblem& on_problem, const std::function<void()>& check) {
  try {
    check();
  } catch (const Error& error) {
    if (!on_problem) throw;
    on_problem(error.what());
  }
}

StoredRow Store::get(const AdapterName& name, std::uint64_t version) {
  StoredRow stored{.name = name};
  const bool found = read(name, version, [&](const RowValue& value) {
    stored.header = value.header;
    stored.row.assign(value.row.begin(), value.row.end());
    stored.tail = value.tail;
  });
  if (!found) fail_unknown(name, version);
  return stored;
}

void Store::fail_unknown(const AdapterName& name, std::uint64_t version) {
  if (version > 0) {
    std::string damaged;
    const std::vector<RowInfo> there = versions(name, [&](const std::string& problem) { damaged = problem; });
    if (there.empty() && !damaged.empty()) throw Error(damaged);
    if (!there.empty()) {
      throw Error(concat(shown_reference(url_, name, version), ": expected a version from ",
                         there.back().header.version, " to ", there.front().header.version,
                         " that was kept, found none of that number; loraxs store list ", shown_reference(url_, name),
                         " --versions shows them"));
    }
  }
  constexpr std::size_t kLookedThrough = 1000;
  std::vector<std::string> names;
  for (const RowInfo& each : list({.tenant = name.tenant, .limit = kLookedThrough, .on_problem = kPassOver}))
    names.push_back(each.name.name);
  if (names.empty()) {
    throw Error(concat(shown_reference(url_, name), ": expected a tenant of the store, found no adapter of ",
                       name.tenant, "; loraxs store list shows what is there"));
  }
  const std::optional<std::string> near = nearest_name(name.name, names);
  throw Error(concat(shown_reference(url_, name), ": expected an adapter of ", name.tenant, ", found none of that name",
                     near ? "; did you mean " + *near + "?" : "; loraxs store list shows what is there"));
}

std::vector<PutResult> Store::put(std::span<const NewRow> rows, std::uint64_t keep) {
  std::vector<PutResult> results(rows.size());
  std::vector<RowHeader> headers;
  std::vector<AdapterName> names;
  headers.reserve(rows.size());
  names.reserve(rows.size());
  const std::int64_t now = microseconds_now();
  for (const NewRow& row : rows) {
    const std::string where = shown_reference(url_, row.name);
    check_adapter_name(row.name, url_.text);
    check_row_form(row.header.dtype, row.header.numbers, row.row, where);
    check_row_finite(row.header.dtype, row.row, where);
    headers.push_back(row.header);
    headers.back().row_digest = digest_of_bytes(row.row);
    if (headers.back().created == 0) headers.back().created = now;
    names.push_back(row.name);
  }
  for (std::size_t begin = 0, end = 0; begin < rows.size(); begin = end) {
    for (std::size_t bytes = 0; end < rows.size() && (end == begin || bytes < kBatchBytes); ++end) {
      bytes += rows[end].row.size();
    }
    write(Changes::kAdd, [&](WriteTransaction& transaction) {
      transaction.expect(std::span(names).subspan(begin, end - begin));
      for (std::size_t i = begin; i < end; ++i) {
        results[i] = put_one(transaction, rows[i], headers[i], shown_reference(url_, rows[i].name));
        if (keep > 0) prune(transaction, rows[i].name, keep);
      }
    });
  }
  return results;
}

PutResult Store::put(const NewRow& row, std::uint64_t keep) { return put(std::span(&row, 1), keep).front(); }

void Store::put_shared(SharedKind kind, const Digest& digest, std::string_view bytes) {
  check_shared(kind, digest, bytes, url_.text);
  write(Changes::kAdd, [&](WriteTransaction& transaction) { transaction.add_shared(kind, digest, bytes); });
}

PutResult Store::rollback(const AdapterName& name, std::uint64_t version) {
  std::optional<PutResult> result;
  write(Changes::kAdd, [&](WriteTransaction& transaction) {
    transaction.expect(std::span(&name, 1));
    const std::optional<RowValue> found = transaction.find(name, version);
    if (!found) return;
    const std::vector<std::byte> bytes(found->row.begin(), found->row.end());
    const NewRow old{.name = name, .header = found->header, .row = bytes, .tail = std::string(found->tail)};
    RowHeader header = old.header;
    header.version = 0;
    header.created = microseconds_now();
    result = put_one(transaction, old, header, shown_reference(url_, name));
  });
  if (!result) fail_unknown(name, version);
  return *result;
}

std::uint64_t Store::remove(const AdapterName& name, std::uint64_t version) {
  std::uint64_t removed = 0;
  write(Changes::kErase, [&](WriteTransaction& transaction) {
    removed = 0;
    transaction.expect(std::span(&name, 1));
    const std::vector<std::uint64_t> there = transaction.versions(name);
    for (const std::uint64_t each : there) {
      if (each == there.front() && (version == 0 || version == each)) transaction.keep_number(name, each);
      if (version != 0 && each != version) continue;
      transaction.erase(name, each);
      ++removed;
    }
  });
  if (removed == 0) fail_unknown(name, version);
  return removed;
}

void Store::keep_numbers(std::span<const LastNumber> numbers) {
  if (numbers.empty()) return;
  std::vector<AdapterName> names;
  names.reserve(numbers.size());
  for (const LastNumber& each : numbers) names.push_back(each.name);
  write(Changes::kErase, [&](WriteTransaction& transaction) {
    transaction.expect(names);
    for (const LastNumber& each : numbers) {
      if (transaction.last_number(each.name) < each.version) transaction.keep_number(each.name, each.version);
    }
  });
}

void fail_damaged_newest(std::span<const std::byte> value, const RowPlace& place, std::span<const RowInfo> versions) {
  std::string problem;
  tell_problem([&](const std::string& said) { problem = said; }, [&] { decode_row_value(value, place); });
  for (const RowInfo& older : versions) {
    if (older.header.version >= place.version) continue;
    throw Error(concat(problem, "; loraxs store rollback ",
                       shown_reference(place.url, place.name, older.header.version),
                       " makes the version before it the newest"));
  }
  throw Error(problem);
}

std::shared_ptr<Store> open_store(const StoreUrl& url, OpenStore how) {
  return url.scheme == StoreScheme::kLmdb ? open_lmdb_store(url, how) : open_postgres_store(url, how);
}

CopyReport copy_store(Store& from, Store& to, const OnProblem& on_problem) {
  for (const SharedKind kind : {SharedKind::kKind, SharedKind::kBasis}) {
    for (const Digest& digest : from.shared_digests(kind)) {
      std::optional<std::string> bytes;
      tell_problem(on_problem, [&] { bytes = from.shared(kind, digest); });
      if (bytes) to.put_shared(kind, digest, *bytes);
    }
  }
  CopyReport report;
  std::vector<StoredRow> batch;
  std::size_t batch_bytes = 0;
  const auto flush = [&] {
    std::vector<NewRow> rows;
    rows.reserve(batch.size());
    for (const StoredRow& each : batch) {
      rows.push_back({.name = each.name, .header = each.header, .row = each.row, .tail = each.tail});
    }
    const std::vector<PutResult> results = to.put(rows);
    for (std::size_t i = 0; i < results.size(); ++i) {
      report.copied += results[i].added ? 1 : 0;
      report.renumbered += results[i].added && results[i].version != rows[i].header.version ? 1 : 0;
    }
    batch.clear();
    batch_bytes = 0;
  };
  constexpr std::size_t kPage = 1000;
  AdapterName after;
  while (true) {
    const std::vector<LastNumber> page = from.last_numbers(after, kPage, on_problem);
    std::vector<LastNumber> given;  // and not to be seen from the rows that are copied
    for (const LastNumber& last : page) {
      const std::vector<RowInfo> there = to.versions(last.name, kPassOver);  // what is damaged there, another put heals
      const std::uint64_t known = there.empty() ? 0 : there.front().header.version;
      const std::vector<RowInfo> versions = from.versions(last.name, on_problem);
      if (versions.empty() || versions.front().header.version < last.version) given.push_back(last);
      for (auto each = versions.rbegin(); each != versions.rend(); ++each) {
        if (each->header.version <= known) continue;
        const bool found = from.read(last.name, each->header.version, [&](const RowValue& value) {
          batch.push_back({.name = last.name,
                           .header = value.header,
                           .row = {value.row.begin(), value.row.end()},
                           .tail = std::string(value.tail)});
          batch_bytes += value.row.size();
        });
        if (found && batch_bytes >= Store::kBatchBytes / 4) flush();  // one that went meanwhile is not copied
      }
    }
    if (!batch.empty()) flush();
    to.keep_numbers(given);
    if (page.size() < kPage) return report;
    after = page.back().name;
  }
}

}  // namespace loraxs
