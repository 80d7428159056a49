// api/store.h: adapters in and out of a store: what LibTorch's side of the program has of src/store.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "adapt/adapter_file.h"
#include "store/store.h"

namespace loraxs {

/// The adapter of a name: a file, or a store's URL#tenant/name[@version]; its path is then the reference. Throws Error.
AdapterFile load_adapter(const std::filesystem::path& name);

/// The adapters of a folder, or (URL, URL#tenant/begin*, URL#tenant/) of a store, by name; of URL#tenant/name[@version]
/// that one. Throws Error where there are none.
std::vector<std::filesystem::path> adapters_of(const std::filesystem::path& place);

/// What an adapter is called beside others: a file's stem, or the name in its store.
std::string adapter_stem(const std::filesystem::path& name);

/// Keeps the stores of references open, so that each is opened once for all of them. Paths are passed over, and so is
/// what does not open: whoever reads it says why.
std::vector<std::shared_ptr<Store>> open_stores_of(const std::vector<std::string>& names);

/// The file of a travelling basis (BasisRecipe::travels) of an adapter that came from a store: written to the folder
/// `cache` unless it is there. Throws Error where the store has none.
std::filesystem::path stored_basis(const AdapterFile& adapter, const std::filesystem::path& cache);

struct PutOptions {
  RowDtype dtype = RowDtype::kFloat32;
  std::uint64_t keep = 0;               // versions of each name at most; 0 = all
  std::vector<std::uint32_t> segments;  // int8: numbers of each tensor of the row
};
struct NamedAdapter {
  AdapterName name;
  const AdapterFile* adapter = nullptr;
};
/// Puts adapters with their kinds, and the bases that travel with them, which must lie beside their files. Durable at
/// return.
std::vector<PutResult> put_adapters(Store& store, const std::vector<NamedAdapter>& adapters,
                                    const PutOptions& options = {});

/// Numbers of each tensor of a row, for int8.
std::vector<std::uint32_t> row_segments(const Layout& layout);
/// The row as it comes back after it was stored so.
std::vector<float> rounded_row(const AdapterFile& adapter, const PutOptions& options);

/// An adapter as a store holds it. Throw Error where it is not there.
AdapterFile get_adapter(Store& store, const AdapterName& name, std::uint64_t version = 0);
struct StoredAdapter {
  AdapterFile adapter;
  RowHeader header;
  std::size_t row_bytes = 0;
};
StoredAdapter get_stored_adapter(Store& store, const AdapterName& name, std::uint64_t version = 0);
/// Of a reference, URL#tenant/name[@version].
StoredAdapter get_stored_adapter(const std::string& reference);
/// Writes it as a file, with its basis beside where it travels. -> its version
std::uint64_t get_adapter_file(const std::string& reference, const std::filesystem::path& out);

}  // namespace loraxs
