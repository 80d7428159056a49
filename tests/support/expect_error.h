// tests/support/expect_error.h: errors are tested by what the user reads.
#pragma once
#include <gtest/gtest.h>

#include "io/error.h"

/// The statement throws loraxs::Error and its text contains `part`.
#define EXPECT_ERROR(statement, part)                                                                        \
  try {                                                                                                      \
    statement;                                                                                               \
    ADD_FAILURE() << #statement << " threw nothing, expected an error with: " << (part);                     \
  } catch (const loraxs::Error& error) {                                                                     \
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << "the error was: " << error.what(); \
  }
