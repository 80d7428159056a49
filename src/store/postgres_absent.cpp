#include "io/error.h"
#include "store/postgres_store.h"

namespace loraxs {

std::shared_ptr<Store> open_postgres_store(const StoreUrl& url, OpenStore /*how*/) {
  throw Error(concat(url.text, ": expected a loraxs with PostgreSQL, found one that was built without it (libpq); ",
                     "lmdb:// works in every build"));
}

}  // namespace loraxs
