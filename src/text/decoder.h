// text/decoder.h: how tokens become text again, as a stream: what is final comes out at once.
#pragma once
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace loraxs {

/// A part of a token; most tokens are one fragment, but Fuse makes one endless token of all.
struct Fragment {
  std::string_view text;
  bool starts_token = true, ends_token = true;
};

/// One running step of a decoder. What it knows for certain goes on to the next one.
class DecodeStep {
 public:
  using Sink = std::function<void(const Fragment&)>;
  virtual ~DecodeStep() = default;
  virtual void push(const Fragment& fragment, const Sink& sink) = 0;
  virtual void finish(const Sink&) {}  // no more tokens: lets go of what was held back
};

/// A step that needs whole tokens.
class TokenStep : public DecodeStep {
 public:
  void push(const Fragment& fragment, const Sink& sink) final;

 private:
  virtual void push_token(std::string_view token, const Sink& sink) = 0;
  std::string collected_;
};

/// Makes the steps of one text, anew for each.
struct DecoderPart {
  std::function<std::unique_ptr<DecodeStep>()> make;
  double growth = 1;  // bytes that it makes of one at the most
};
using Decoder = std::vector<DecoderPart>;

/// The byte of a token <0xE2>, or -1 for another token.
int byte_of_token(std::string_view token);

/// The steps of a "decoder" object: ByteFallback, ByteLevel, Fuse, Metaspace, Replace, Sequence, Strip,
/// WordPiece; for null, tokens stand with blanks between them. Throws Error naming another kind and those known, and
/// for steps that make more than 64 bytes of one, together.
Decoder parse_decoder(const nlohmann::json& json, const std::string& where);

}  // namespace loraxs
