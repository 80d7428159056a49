// text/sentencepiece_proto.h: what a SentencePiece model file has to hold before libsentencepiece may read it.
#pragma once
#include <string>
#include <string_view>

namespace loraxs {

/// Of ModelProto.normalizer_spec, which libsentencepiece's installed header does not show.
struct SentencePieceFlags {
  bool add_dummy_prefix = true, remove_extra_whitespaces = true;
};

/// Reads a serialized ModelProto. libsentencepiece 0.1.97 trusts its charsmap (see check_charsmap) and its pieces: a
/// long one is recursion, one with a zero byte a shorter one, more than 64 user-defined ones inside one another
/// overwrite its stack. Throws Error, starting with `where`, for those, for scores that are not finite, and for a
/// message that is damaged or that is written as no SentencePiece model is (the library would see other fields).
SentencePieceFlags check_sentencepiece_proto(std::string_view model, const std::string& where);

}  // namespace loraxs
