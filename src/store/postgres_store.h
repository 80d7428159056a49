// store/postgres_store.h: the store's interface on PostgreSQL.
#pragma once
#include <memory>

#include "store/store.h"

namespace loraxs {

/// Throws Error where the server is away, and where the schema is not there (kCreate makes it) or newer. Built without
/// libpq: always.
std::shared_ptr<Store> open_postgres_store(const StoreUrl& url, OpenStore how);

}  // namespace loraxs
