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

# Targets share one precompiled header, those with LibTorch a second one. LibTorch's: 18 s once, then 1.7 s a file and not 6;
# the other 7 s once, then 3 to 7 s less for each batch of sources.
set(loraxs_plain_headers <algorithm> <array> <cmath> <filesystem> <functional> <iostream> <map> <memory> <optional> <span> <string>
                         <string_view> <unordered_map> <variant> <vector> <nlohmann/json.hpp>)
set(loraxs_torch_headers ${loraxs_plain_headers} <torch/types.h> <torch/csrc/autograd/custom_function.h> <ATen/Parallel.h>)
function(loraxs_precompile target kind)
  if(CMAKE_DISABLE_PRECOMPILE_HEADERS OR LORAXS_FUZZ)  # clang wants the same sanitizers for the header and for its users
    return()
  endif()
  if(NOT TARGET loraxs_${kind}_pch)
    file(WRITE ${CMAKE_BINARY_DIR}/${kind}_pch.cpp "")
    add_library(loraxs_${kind}_pch OBJECT ${CMAKE_BINARY_DIR}/${kind}_pch.cpp)
    loraxs_options(loraxs_${kind}_pch)
    if(kind STREQUAL "torch")
      target_link_libraries(loraxs_torch_pch PUBLIC loraxs_torch)
    endif()
    target_precompile_headers(loraxs_${kind}_pch PRIVATE ${loraxs_${kind}_headers})
  endif()
  target_precompile_headers(${target} REUSE_FROM loraxs_${kind}_pch)
endfunction()

# Links what a target stands on and gives it its precompiled header.
function(loraxs_stand_on target with_torch)
  loraxs_link(${target} ${ARGN})
  if(with_torch)
    target_link_libraries(${target} PUBLIC loraxs_torch)
    loraxs_precompile(${target} torch)
  else()
    loraxs_precompile(${target} plain)
  endif()
endfunction()

# A program that uses the precompiled header: it is for -fPIC, as the libraries, and CMake would say -fPIE here.
function(loraxs_compile_as_library target)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${target} PRIVATE -fPIC)
endfunction()

function(loraxs_library name)
  cmake_parse_arguments(ARG "TORCH" "" "SOURCES;DEPENDS" ${ARGN})
  add_library(loraxs_${name} STATIC ${ARG_SOURCES})
  set_property(GLOBAL APPEND PROPERTY loraxs_parts loraxs_${name})
  loraxs_options(loraxs_${name})
  loraxs_stand_on(loraxs_${name} "${ARG_TORCH}" ${ARG_DEPENDS})
endfunction()

include(GoogleTest)
function(loraxs_tests name)
  cmake_parse_arguments(ARG "TORCH" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable(loraxs_${name}_tests ${ARG_SOURCES})
  loraxs_options(loraxs_${name}_tests)
  target_include_directories(loraxs_${name}_tests PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  loraxs_compile_as_library(loraxs_${name}_tests)
  target_compile_options(loraxs_${name}_tests PRIVATE ${loraxs_no_hot_loops})
  loraxs_stand_on(loraxs_${name}_tests "${ARG_TORCH}" ${ARG_DEPENDS} GTest::gtest GTest::gmock GTest::gtest_main)
  target_compile_definitions(loraxs_${name}_tests PRIVATE LORAXS_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  add_test(NAME ${name} COMMAND loraxs_${name}_tests --gtest_filter=-*Writes* WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
endfunction()
