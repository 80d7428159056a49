#include "store/lmdb_reader.h"

#include <algorithm>
#include <cstring>

#include "io/error.h"
#include "store/lmdb_keys.h"
#include "store/lmdb_state.h"

namespace loraxs {
namespace {

RowInfo info_of(const AdapterName& name, const RowValue& value) {
  return {.name = name, .header = value.header, .row_bytes = value.row.size(), .tail = std::string(value.tail)};
}

}  // namespace

bool LmdbReader::read(const AdapterName& name, std::uint64_t version,
                      const std::function<void(const RowValue&)>& use) const {
  const std::string key = adapter_key(name);
  if (version != 0) {
    const std::string old_key = history_key(name, version);
    if (const auto old = transaction_.find(LmdbTable::kHistory, old_key)) {
      use(older_value(old_key, *old, name));
      return true;
    }
  }
  const auto newest = transaction_.find(LmdbTable::kRows, key);
  if (!newest) {
    if (!transaction_.find(LmdbTable::kNames, key)) return false;
    fail_torn(shown_reference(url_, name, version), "its name is there and its row is not");
  }
  RowValue value;
  try {
    value = decode_value(*newest, name, version);
  } catch (const Error&) {
    const auto record = transaction_.find(LmdbTable::kNames, key);
    if (!record) fail_torn(shown_reference(url_, name), "its row is there and its name is not");
    const std::uint64_t there = version_in(*record, key, url_.text);
    if (version != 0 && version != there) return false;
    fail_damaged_newest(*newest, {url_, name, there}, versions(name, kPassOver));
  }
  if (version != 0 && version != value.header.version) return false;
  use(value);
  return true;
}

std::vector<RowInfo> LmdbReader::list(const ListQuery& query) const {
  const std::string begin = query.tenant.empty() ? std::string() : list_prefix(query.tenant, query.prefix);
  std::string from = begin;
  if (!query.after.tenant.empty()) from = std::max(from, adapter_key(query.after) + '\x01');
  LmdbCursor rows(transaction_, LmdbTable::kRows), names(transaction_, LmdbTable::kNames);
  std::vector<RowInfo> found;
  std::string before;
  bool more = rows.seek(from), more_names = names.seek(from);
  while (true) {
    const bool row_here = more && rows.key().starts_with(begin),
               name_here = more_names && names.key().starts_with(begin);
    if (row_here != name_here || (row_here && rows.key() != names.key()) || (row_here && rows.key() <= before)) {
      fail_torn(url_.text, concat("its rows and its names differ at ", row_here    ? shown_key(rows.key())
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

std::vector<LastNumber> LmdbReader::last_numbers(const AdapterName& after, std::size_t limit,
                                                 const OnProblem& on_problem) const {
  const std::string from = after.tenant.empty() ? std::string() : adapter_key(after) + '\x01';
  LmdbCursor names(transaction_, LmdbTable::kNames), kept(transaction_, LmdbTable::kState);
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
        last.name = name_of_key(key, url_.text);
        last.version = std::max(last.version, version_in(cursor->value(), key, url_.text));
      });
      *more = cursor->next();
    }
    if (!last.name.tenant.empty()) found.push_back(std::move(last));
  }
  return found;
}

std::vector<RowInfo> LmdbReader::versions(const AdapterName& name, const OnProblem& on_problem) const {
  std::vector<RowInfo> found;
  if (!is_adapter_name(name)) return found;
  const std::string key = adapter_key(name);
  const auto row = transaction_.find(LmdbTable::kRows, key), record = transaction_.find(LmdbTable::kNames, key);
  if (!row && !record) return found;
  tell_problem(on_problem, [&] {
    if (!row || !record) fail_torn(shown_reference(url_, name), "its name or its row is not there");
    found.push_back(info_at(key, *row, *record));
  });
  const std::string prefix = history_prefix(name);
  LmdbCursor cursor(transaction_, LmdbTable::kHistory);
  for (bool more = cursor.seek(prefix); more && cursor.key().starts_with(prefix); more = cursor.next()) {
    tell_problem(on_problem, [&] { found.push_back(info_of(name, older_value(cursor.key(), cursor.value(), name))); });
  }
  return found;
}

std::optional<std::string> LmdbReader::shared(SharedKind kind, const Digest& digest) const {
  const auto found = transaction_.find(LmdbTable::kShared, shared_key(kind, digest));
  if (!found) return std::nullopt;
  std::string bytes(reinterpret_cast<const char*>(found->data()), found->size());
  check_shared(kind, digest, bytes, url_.text);
  return bytes;
}

std::vector<Digest> LmdbReader::shared_digests(SharedKind kind) const {
  std::vector<Digest> digests;
  const std::string prefix(1, static_cast<char>(kind));
  LmdbCursor cursor(transaction_, LmdbTable::kShared);
  for (bool more = cursor.seek(prefix); more && cursor.key().starts_with(prefix); more = cursor.next()) {
    if (cursor.key().size() != 1 + sizeof(Digest)) fail_torn(url_.text, "the name of a kind is none");
    digests.emplace_back();
    std::memcpy(digests.back().data(), cursor.key().data() + 1, sizeof(Digest));
  }
  return digests;
}

std::uint64_t LmdbReader::verify(const OnProblem& on_problem, bool digests) const {
  std::uint64_t read = 0;
  const auto attempt = [&](const auto& check) { tell_problem(on_problem, check); };
  for (const SharedKind kind : {SharedKind::kKind, SharedKind::kBasis}) {
    attempt([&] {
      for (const Digest& digest : shared_digests(kind)) {
        attempt([&] {
          const std::optional<std::string> bytes = shared(kind, digest);
          if (bytes && kind == SharedKind::kKind) parse_kind(*bytes, url_.text);
        });
      }
    });
  }
  const auto check_value = [&](const RowValue& value, const RowPlace& place) {
    if (digests) check_row_digest(value, place);
    if (!transaction_.find(LmdbTable::kShared, shared_key(SharedKind::kKind, value.header.kind))) {
      fail_torn(place.text(), concat("its kind ", digest_hex(value.header.kind).substr(0, 16), "… is not there"));
    }
  };
  attempt([&] {
    LmdbCursor rows(transaction_, LmdbTable::kRows), names(transaction_, LmdbTable::kNames);
    std::string before;
    bool more = rows.seek(""), more_names = names.seek("");
    for (; more && more_names; more = rows.next(), more_names = names.next(), ++read) {
      if (rows.key() != names.key() || rows.key() <= before) {
        fail_torn(url_.text, concat("its rows and its names differ at ", shown_key(rows.key())));
      }
      before = rows.key();
      attempt([&] {
        const AdapterName name = name_of_key(rows.key(), url_.text);
        const std::uint64_t version = info_at(rows.key(), rows.value(), names.value()).header.version;
        check_value(decode_value(rows.value(), name, version), {url_, name, version});
      });
    }
    if (more != more_names) fail_torn(url_.text, "its rows and its names differ at the end");
  });
  attempt([&] {
    LmdbCursor cursor(transaction_, LmdbTable::kHistory);
    std::string before;
    for (bool more = cursor.seek(""); more; more = cursor.next(), ++read) {
      if (cursor.key() <= before) fail_torn(url_.text, "its older rows are out of order");
      before = cursor.key();
      attempt([&] {
        const AdapterName name = name_of_history_key(cursor.key(), url_.text);
        const RowPlace place{url_, name, version_of_key(cursor.key())};
        check_value(older_value(cursor.key(), cursor.value(), name), place);
        if (!transaction_.find(LmdbTable::kNames, adapter_key(name))) fail_torn(place.text(), "its name is not there");
      });
    }
  });
  attempt([&] {
    LmdbCursor cursor(transaction_, LmdbTable::kState);
    for (bool more = cursor.seek(""); more; more = cursor.next()) {
      if (is_state_key(cursor.key())) continue;
      attempt([&] {
        name_of_key(cursor.key(), url_.text);
        version_in(cursor.value(), cursor.key(), url_.text);
      });
    }
  });
  return read;
}

RowValue LmdbReader::decode_value(std::span<const std::byte> bytes, const AdapterName& name,
                                  std::uint64_t version) const {
  return decode_row_value(bytes, {url_, name, version});
}

RowValue LmdbReader::older_value(std::string_view key, std::span<const std::byte> bytes,
                                 const AdapterName& name) const {
  const std::uint64_t version = version_of_key(key);
  const RowValue value = decode_value(bytes, name, version);
  if (value.header.version != version) {
    fail_torn(shown_reference(url_, name, version), concat("found version ", value.header.version, " in its place"));
  }
  return value;
}

RowInfo LmdbReader::info_at(std::string_view key, std::span<const std::byte> row,
                            std::span<const std::byte> record) const {
  const AdapterName name = name_of_key(key, url_.text);
  const std::uint64_t version = version_in(record, key, url_.text);
  const RowValue value = decode_value(row, name, version);
  if (version != value.header.version) {
    fail_torn(shown_reference(url_, name), "its newest version is another than its name says");
  }
  return info_of(name, value);
}

}  // namespace loraxs
