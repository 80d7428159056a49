# Compiler settings that every target shares.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)   # every library ends in libloraxs.so, which exports all of them
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2")        # assertions stay on: they are cheap beside a GEMM
# Vector loops: `omp simd` reductions may be reordered, nothing else may. The same for all: they share a precompiled header.
# No semantic interposition: what libloraxs.so exports is still inlined and called directly inside it.
# clang, which the fuzz targets take, cannot capture structured bindings under -fopenmp-simd.
add_compile_options(-fno-semantic-interposition $<$<CXX_COMPILER_ID:GNU>:-fopenmp-simd> -fno-math-errno -fno-trapping-math -ffp-contract=fast)

# Sources of a target are compiled eight at a time: LibTorch's headers are read once for all of them. Helpers of one source therefore
# need names of their own within the target. For work on single sources: -DCMAKE_UNITY_BUILD=OFF.
option(CMAKE_UNITY_BUILD "Compile sources in batches" ON)
set(CMAKE_UNITY_BUILD_BATCH_SIZE 8)

find_program(CCACHE ccache)
if(CCACHE)
  # Precompiled headers need these to be cacheable (ccache manual, "Precompiled headers").
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE})
  add_compile_options($<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)
endif()
find_program(MOLD mold)
if(MOLD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_link_options(-fuse-ld=mold)         # links the engine in 0.1 s, bfd takes 0.6 s
endif()
if(LORAXS_FUZZ)
  set(LORAXS_SANITIZE ON)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(LORAXS_SANITIZE)
  # -O1 compiles in half the time of -O2 here, and the tests run as fast.
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1 -g1)
  add_link_options(-fsanitize=address,undefined)
endif()
