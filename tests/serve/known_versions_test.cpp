// What a store last said of an adapter, whatever order its answers come in.
#include "serve/known_versions.h"

#include <gtest/gtest.h>

#include "io/error.h"

namespace loraxs {
namespace {

const AdapterName kVoice{"anna", "voice"};

StoredVersion version(uint64_t number, const std::string& tail = "{}") {
  return {.name = kVoice, .header = {.version = number}, .tail = tail, .row_bytes = 4};
}

uint64_t known(const KnownVersions& versions, uint64_t asked = 0) {
  const auto found = versions.find(kVoice, asked);
  return found ? found->header.version : 0;
}

TEST(KnownVersionsTest, WhatTheLaterLookUpSaidStays) {
  KnownVersions versions;
  EXPECT_EQ(known(versions), 0U);
  const uint64_t first = versions.begin(), second = versions.begin();
  versions.learn(kVoice, 0, second, version(2));
  versions.learn(kVoice, 0, first, version(1));  // it hung
  EXPECT_EQ(known(versions), 2U);
  versions.learn(kVoice, 0, versions.begin(), version(3));
  EXPECT_EQ(known(versions), 3U);
  EXPECT_EQ(known(versions, 3), 0U) << "asked for by its number it was not";
  EXPECT_FALSE(versions.find({"bob", "voice"}, 0));
}

TEST(KnownVersionsTest, WhatIsGoneIsNotKnown) {
  KnownVersions versions;
  versions.learn(kVoice, 0, versions.begin(), version(2));
  const uint64_t hangs = versions.begin();
  versions.learn(kVoice, 0, versions.begin(), std::nullopt);
  versions.learn(kVoice, 0, hangs, version(2));
  EXPECT_EQ(known(versions), 0U);
  versions.learn(kVoice, 0, versions.begin(), version(3));
  versions.learn(kVoice, 2, versions.begin(), version(2));
  versions.learn({"anna", "other"}, 0, versions.begin(), version(7));
  const uint64_t under_way = versions.begin();
  versions.forget(kVoice);
  versions.learn(kVoice, 0, under_way, version(3));
  EXPECT_EQ(known(versions), 0U);
  EXPECT_EQ(known(versions, 2), 0U);
  EXPECT_TRUE(versions.find({"anna", "other"}, 0));
}

TEST(KnownVersionsTest, BytesAreBounded) {
  KnownVersions versions(100'000);
  for (int i = 0; i < 1000; ++i) {
    versions.learn({"anna", concat("v", i)}, 0, versions.begin(), version(1, std::string(1000, 'x')));
  }
  EXPECT_FALSE(versions.find({"anna", "v0"}, 0));
  EXPECT_TRUE(versions.find({"anna", "v999"}, 0));
  EXPECT_TRUE(versions.find({"anna", "v950"}, 0));
}

}  // namespace
}  // namespace loraxs
