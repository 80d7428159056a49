# The libraries that loraxs stands on, with the fixes that building them into one program needs.

# LibTorch of the pip wheel in .venv, unless the caller names another one by Torch_DIR or CMAKE_PREFIX_PATH.
file(GLOB wheel_torch ${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch)
if(wheel_torch AND NOT Torch_DIR)
  set(Torch_DIR ${wheel_torch}/share/cmake/Torch)
endif()
set(kineto_LIBRARY c10)  # the wheel has no kineto to link; this silences "library kineto not found"
find_package(Torch 2.13 REQUIRED)
set_property(TARGET caffe2::mkl PROPERTY INTERFACE_LINK_DIRECTORIES "")  # else RUNPATH carries /lib/intel64 and /lib/win-x64
get_filename_component(torch_lib ${TORCH_LIBRARY} DIRECTORY)
file(GLOB wheel_gomp ${torch_lib}/libgomp*.so*)
if(wheel_gomp)
  list(GET wheel_gomp 0 wheel_gomp)
  set(OpenMP_gomp_LIBRARY ${wheel_gomp} CACHE FILEPATH "the wheel's own copy: one OpenMP runtime in the process")
endif()

find_package(OpenMP REQUIRED COMPONENTS CXX)  # without it at::parallel_for, a header, runs on one thread and says nothing
find_package(nlohmann_json REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(CLI11 REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(Boost 1.81 REQUIRED)  # headers of Asio and Beast, for src/serve/http alone
find_package(prometheus-cpp REQUIRED COMPONENTS core)
find_package(PkgConfig REQUIRED)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(SENTENCEPIECE REQUIRED IMPORTED_TARGET sentencepiece)
pkg_check_modules(LMDB REQUIRED IMPORTED_TARGET lmdb)
pkg_check_modules(XXHASH REQUIRED libxxhash)  # its header, compiled in
pkg_check_modules(LIBPQ libpq)  # without it the program says that it was built without PostgreSQL
find_package(ICU REQUIRED COMPONENTS uc i18n data)
find_package(Threads REQUIRED)
find_package(ZLIB REQUIRED)
if(LORAXS_BUILD_TESTS)
  find_package(GTest REQUIRED)
endif()
if(LORAXS_BUILD_BENCHMARKS)
  find_package(benchmark REQUIRED)
endif()

# What a target needs to use LibTorch: headers as SYSTEM, as they warn, and the wheel's string ABI.
add_library(loraxs_torch INTERFACE)
target_link_libraries(loraxs_torch INTERFACE torch_library c10 OpenMP::OpenMP_CXX)
target_include_directories(loraxs_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})
separate_arguments(torch_flags UNIX_COMMAND "${TORCH_CXX_FLAGS}")
target_compile_options(loraxs_torch INTERFACE ${torch_flags})
