#include "text/sentencepiece_proto.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "io/error.h"
#include "text/charsmap.h"
#include "text/token_trie.h"
#include "text/utf8.h"
#include "text/vocabulary.h"

namespace loraxs {
namespace {

enum WireType { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

/// One field of a protocol buffer message.
struct ProtoField {
  uint64_t number = 0;
  uint64_t value = 0;     // of a varint or a fixed number
  std::string_view part;  // of a length-delimited field
};

/// The fields of one message, as the library's parser sees them.
class ProtoReader {
 public:
  ProtoReader(std::string_view bytes, const std::string& where) : bytes_(bytes), where_(where) {}

  bool next(ProtoField& field) {
    if (bytes_.empty()) return false;
    const uint64_t key = varint();
    if (key > UINT32_MAX || key >> 3 == 0) fail();
    field = {.number = key >> 3};
    switch (key & 7) {
      case kVarint:
        field.value = varint();
        break;
      case kBytes:
        field.part = take(varint());
        break;
      case kFixed64:
        take(8);
        break;
      case kFixed32:
        for (int shift = 0; const char byte : take(4)) {
          field.value |= static_cast<uint64_t>(static_cast<unsigned char>(byte)) << shift;
          shift += 8;
        }
        break;
      default:
        fail();  // groups: the library would skip one, and so would have to be followed
    }
    return true;
  }

 private:
  [[noreturn]] void fail() const {
    throw Error(concat(where_, ": expected a SentencePiece model, found a damaged file, or another one"));
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (bytes_.empty()) break;
      const auto byte = static_cast<unsigned char>(bytes_.front());
      bytes_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    fail();
  }
  std::string_view take(uint64_t count) {
    if (count > bytes_.size()) fail();
    const std::string_view part = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return part;
  }

  std::string_view bytes_;
  const std::string& where_;
};

struct Piece {
  std::string_view text;
  float score = 0;
  uint64_t type = 1;
};

Piece read_piece(std::string_view bytes, const std::string& where) {
  enum { kText = 1, kScore = 2, kType = 3 };
  Piece piece;
  ProtoReader reader(bytes, where);
  for (ProtoField field; reader.next(field);) {
    if (field.number == kText) piece.text = field.part;
    if (field.number == kScore) piece.score = std::bit_cast<float>(static_cast<uint32_t>(field.value));
    if (field.number == kType) piece.type = field.value;
  }
  return piece;
}

void check_piece(const Piece& piece, const std::string& place) {
  if (piece.text.empty() || piece.text.size() > Vocabulary::kLongestToken) {
    throw Error(concat(place, ": expected 1 to ", Vocabulary::kLongestToken, " bytes, found ", piece.text.size()));
  }
  if (!is_valid_utf8(piece.text) || piece.text.find('\0') != std::string_view::npos) {
    throw Error(concat(place, ": expected UTF-8 without zero bytes, found \"", piece.text, "\""));
  }
  if (!std::isfinite(piece.score)) throw Error(concat(place, ": expected a finite score, found ", piece.score));
}

/// The library looks for user-defined pieces at every place of a text and has room for 64 that begin there.
void check_user_defined(std::vector<std::pair<std::string_view, int32_t>> pieces, const std::string& where) {
  constexpr int32_t kMostInside = 64;
  const TokenTrie trie(std::move(pieces));
  std::vector<int32_t> inside(trie.size());  // pieces along the way to a node
  for (int32_t node = 0; node < static_cast<int32_t>(trie.size()); ++node) {
    if (trie.value(node) != TokenTrie::kNone) ++inside[node];
    if (inside[node] > kMostInside) {
      throw Error(concat(where, ": expected at most ", kMostInside,
                         " user-defined pieces that begin with one another, found more"));
    }
    for (int32_t child = trie.first_child(node); child < trie.first_child(node + 1); ++child)
      inside[child] = inside[node];
  }
}

void read_normalizer(std::string_view bytes, const std::string& where, SentencePieceFlags& flags) {
  enum { kCharsmap = 2, kAddDummyPrefix = 3, kRemoveExtraWhitespaces = 4 };
  ProtoReader reader(bytes, where);
  for (ProtoField field; reader.next(field);) {
    if (field.number == kCharsmap && !field.part.empty()) check_charsmap(parse_charsmap(field.part, where), where);
    if (field.number == kAddDummyPrefix) flags.add_dummy_prefix = field.value != 0;
    if (field.number == kRemoveExtraWhitespaces) flags.remove_extra_whitespaces = field.value != 0;
  }
}

}  // namespace

SentencePieceFlags check_sentencepiece_proto(std::string_view model, const std::string& where) {
  enum { kPiece = 1, kNormalizer = 3, kSelfTest = 4, kDenormalizer = 5, kUserDefined = 4 };
  constexpr size_t kLongestSelfTest = 1 << 20;  // texts that the library encodes when it loads the model
  SentencePieceFlags flags, unused;
  std::vector<std::pair<std::string_view, int32_t>> user_defined;
  size_t pieces = 0, bytes = 0, self_test = 0;
  ProtoReader reader(model, where);
  for (ProtoField field; reader.next(field);) {
    if (field.number == kPiece) {
      const Piece piece = read_piece(field.part, where);
      check_piece(piece, concat(where, ": piece ", pieces));
      if (piece.type == kUserDefined) user_defined.emplace_back(piece.text, 0);
      ++pieces;
      bytes += piece.text.size();
    }
    if (field.number == kNormalizer) read_normalizer(field.part, where, flags);
    if (field.number == kDenormalizer) read_normalizer(field.part, where, unused);
    if (field.number == kSelfTest) self_test += field.part.size();
  }
  if (pieces == 0 || pieces > Vocabulary::kMostTokens || bytes > Vocabulary::kMostBytes) {
    throw Error(concat(where, ": expected a SentencePiece model of 1 to ", Vocabulary::kMostTokens,
                       " pieces and at most ", Vocabulary::kMostBytes, " bytes of them, found ", pieces, " pieces and ",
                       bytes, " bytes"));
  }
  if (self_test > kLongestSelfTest) {
    throw Error(concat(where, ": self_test_data: expected at most ", kLongestSelfTest, " bytes, found ", self_test));
  }
  check_user_defined(std::move(user_defined), where);
  return flags;
}

}  // namespace loraxs
