// store/lmdb_store.h: the store's interface on a folder with an LMDB file.
#pragma once
#include <memory>

#include "store/store.h"

namespace loraxs {

/// Throws Error where there is no folder, no store in it, or one of another format. kCreate makes it where nothing is,
/// in a folder that is there.
std::shared_ptr<Store> open_lmdb_store(const StoreUrl& url, OpenStore how);

}  // namespace loraxs
