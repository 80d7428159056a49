# loraxs_library(NAME [TORCH] SOURCES a.cpp … DEPENDS io …): target loraxs_NAME; DEPENDS are folders or other targets.
# loraxs_tests(NAME [TORCH] SOURCES a_test.cpp … DEPENDS …): one executable loraxs_NAME_tests, run by ctest as NAME; but for
# cases named Writes…, which make what scripts read: loraxs_writers (tests/CMakeLists.txt).

function(loraxs_link target)
  foreach(dependency ${ARGN})
    if(TARGET loraxs_${dependency})
      target_link_libraries(${target} PUBLIC loraxs_${dependency})
    else()
      target_link_libraries(${target} PUBLIC ${dependency})
    endif()
  endforeach()
endfunction()

# For sources without loops that take time when they run: compiles in 14 % less.
set(loraxs_no_hot_loops $<$<CONFIG:Release>:-O1>)

function(loraxs_options target)
  target_include_directories(${target} PUBLIC ${CMAKE_SOURCE_DIR}/src)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wno-unknown-pragmas -Wno-missing-field-initializers -Wno-psabi)
endfunction()

# Every target with LibTorch shares one precompiled header: 18 s once, then 1.7 s a file and not 6.
function(loraxs_use_torch target)
  target_link_libraries(${target} PUBLIC loraxs_torch)
  if(NOT CMAKE_DISABLE_PRECOMPILE_HEADERS AND NOT TARGET loraxs_pch)
    file(WRITE ${CMAKE_BINARY_DIR}/pch.cpp "")
    add_library(loraxs_pch OBJECT ${CMAKE_BINARY_DIR}/pch.cpp)
    target_link_libraries(loraxs_pch PUBLIC loraxs_torch)
    loraxs_options(loraxs_pch)
    target_precompile_headers(loraxs_pch PRIVATE <torch/types.h> <torch/csrc/autograd/custom_function.h> <ATen/Parallel.h>
                              <map> <memory> <optional> <span> <string> <vector>)
  endif()
  if(TARGET loraxs_pch)
    target_precompile_headers(${target} REUSE_FROM loraxs_pch)
  endif()
endfunction()

function(loraxs_library name)
  cmake_parse_arguments(ARG "TORCH" "" "SOURCES;DEPENDS" ${ARGN})
  add_library(loraxs_${name} STATIC ${ARG_SOURCES})
  set_property(GLOBAL APPEND PROPERTY loraxs_parts loraxs_${name})
  loraxs_options(loraxs_${name})
  if(ARG_TORCH)
    loraxs_use_torch(loraxs_${name})
  endif()
  loraxs_link(loraxs_${name} ${ARG_DEPENDS})
endfunction()

include(GoogleTest)
function(loraxs_tests name)
  cmake_parse_arguments(ARG "TORCH" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable(loraxs_${name}_tests ${ARG_SOURCES})
  loraxs_options(loraxs_${name}_tests)
  target_include_directories(loraxs_${name}_tests PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  # As the libraries: the precompiled header is for -fPIC, and CMake would say -fPIE here.
  set_target_properties(loraxs_${name}_tests PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(loraxs_${name}_tests PRIVATE -fPIC ${loraxs_no_hot_loops})
  if(ARG_TORCH)
    loraxs_use_torch(loraxs_${name}_tests)
  endif()
  loraxs_link(loraxs_${name}_tests ${ARG_DEPENDS} GTest::gtest GTest::gmock GTest::gtest_main)
  target_compile_definitions(loraxs_${name}_tests PRIVATE LORAXS_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  add_test(NAME ${name} COMMAND loraxs_${name}_tests --gtest_filter=-*Writes* WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
endfunction()
