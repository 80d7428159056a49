// Base64: RFC 4648's vectors, every byte, and what is refused.
#include "io/base64.h"

#include <gtest/gtest.h>

#include "io/error.h"

namespace loraxs {
namespace {

TEST(Base64Test, RfcVectorsBothWays) {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : vectors) {
    EXPECT_EQ(encode_base64(bytes), text);
    EXPECT_EQ(decode_base64(text, "x"), bytes);
  }
  EXPECT_EQ(decode_base64("Zg", "x"), "f");
}

TEST(Base64Test, EveryByteComesBack) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  for (size_t cut = 0; cut < 4; ++cut) {
    EXPECT_EQ(decode_base64(encode_base64(bytes.substr(cut)), "x"), bytes.substr(cut));
  }
}

TEST(Base64Test, OtherCharactersAreRefused) {
  for (const char* text : {"Zm9v Zm9v", "Zm9v\n", "Zm-v", "Zg==Zg==", "Zg===", "=Zg", "Zm9v\xc3\xa9"}) {
    EXPECT_THROW(decode_base64(text, "x"), Error) << text;
  }
}

}  // namespace
}  // namespace loraxs
