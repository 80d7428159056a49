"""Small tokenizers of every family, trained live with the pipelines of the originals: folders for make_tokens.py."""

import json
from pathlib import Path

import gguf
import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
VOCAB = 2500


def template(single: list[str], pair: list[str], tokens: list[tuple[str, int]]) -> processors.PostProcessor:
    return processors.TemplateProcessing(single=" ".join(single), pair=" ".join(pair), special_tokens=tokens)


def train_byte_level(pre_tokenizer, texts: list[str], special: list[str], normalizer=None, **options) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    parts = json.loads(tokenizer.to_str())["model"]
    merges = [tuple(merge) for merge in parts["merges"]]
    tokenizer.model = models.BPE(vocab=parts["vocab"], merges=merges, **options)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def roberta(texts: list[str], folder: Path) -> Tokenizer:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = train_byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), texts, special)
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False, special=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), True, False)
    files = folder.parent / "roberta-files"
    files.mkdir(exist_ok=True)
    tokenizer.model.save(str(files))
    return tokenizer


def gpt2(texts: list[str], folder: Path) -> Tokenizer:
    """With added tokens of every kind; their flags are Hugging Face's."""
    tokenizer = train_byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), texts, ["<|endoftext|>"])
    tokenizer.model.save(str(folder.parent / "gpt2-files"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.add_tokens(
        [
            AddedToken("<left>", lstrip=True, normalized=False),
            AddedToken("<right>", rstrip=True, normalized=False),
            AddedToken("<both>", lstrip=True, rstrip=True, normalized=True),
            AddedToken("word", single_word=True, normalized=True),
            AddedToken("WordRaw", single_word=True, normalized=False),
            AddedToken("<|end", normalized=False),
            AddedToken("  ", normalized=True),
            AddedToken("日本", normalized=True),
        ]
    )
    return tokenizer


def smollm2(texts: list[str], folder: Path) -> Tokenizer:
    """The real one, of the model's file."""
    fields = gguf.GGUFReader(next(Path("models/smollm2").glob("*.gguf"))).fields
    data = {name: fields["tokenizer.ggml." + name].contents() for name in ("tokens", "merges", "token_type")}
    tokens = data["tokens"]
    merges = [tuple(merge.split(" ")) for merge in data["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([token for token, kind in zip(tokens, data["token_type"], strict=True) if kind == 3])
    return tokenizer


def write_gguf(folder: Path, data: dict) -> None:
    """A GGUF file with the keys tokenizer.ggml.* of `data` alone."""
    folder.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(folder / "model.gguf", "test")
    for name, value in data.items():
        key = "tokenizer.ggml." + name
        if isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        else:
            writer.add_array(key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def byte_level_gguf(tokenizer: Tokenizer, folder: Path, pre: str, special: list[str], **more) -> None:
    vocab = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    merges = [" ".join(merge) for merge in json.loads(tokenizer.to_str())["model"]["merges"]]
    types = [3 if token in special else 1 for token, _ in vocab]
    data = {"model": "gpt2", "pre": pre, "tokens": [token for token, _ in vocab], "merges": merges, "token_type": types}
    write_gguf(folder, data | more)


def llama3(texts: list[str], folder: Path) -> Tokenizer:
    split = pre_tokenizers.Split(Regex(LLAMA3), behavior="isolated")
    pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    special = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"]
    tokenizer = train_byte_level(pre_tokenizer, texts, special, ignore_merges=True)
    bos = special[0]
    post = template([bos, "$A"], [bos, "$A", bos + ":1", "$B:1"], [(bos, 0)])
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), post])
    ids = {"bos_token_id": 0, "eos_token_id": 1, "eot_token_id": 2, "add_bos_token": True}
    byte_level_gguf(tokenizer, folder.parent / "llama3-gguf", "llama-bpe", special, **ids)
    return tokenizer


def qwen2(texts: list[str], folder: Path) -> Tokenizer:
    split = pre_tokenizers.Split(Regex(QWEN2), behavior="isolated")
    pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = train_byte_level(pre_tokenizer, texts, special, normalizers.NFC())
    byte_level_gguf(tokenizer, folder.parent / "qwen2-gguf", "qwen2", special, eos_token_id=2, add_bos_token=False)
    return tokenizer


def train_sentencepiece(texts: list[str], path: Path, **options):
    """A SentencePiece model file, and what it holds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as out:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(text for text in texts if "\0" not in text),
            model_writer=out,
            minloglevel=2,
            vocab_size=2000,
            character_coverage=0.98,
            hard_vocab_limit=False,
            **options,
        )
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(path.read_bytes())
    return model


def xlm_roberta(texts: list[str], folder: Path) -> Tokenizer:
    """As transformers' convert_slow_tokenizer makes it of sentencepiece.bpe.model."""
    path = folder.parent / "xlm-roberta-model" / "sentencepiece.bpe.model"
    model = train_sentencepiece(texts, path, model_type="unigram", normalization_rule_name="nmt_nfkc")
    vocab = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocab += [(piece.piece, piece.score) for piece in model.pieces[3:]] + [("<mask>", 0.0)]
    tokenizer = Tokenizer(models.Unigram(vocab, 3, False))
    charsmap = model.normalizer_spec.precompiled_charsmap
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Precompiled(charsmap), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False, special=True)])
    pair = ["<s>", "$A", "</s>", "</s>", "$B", "</s>"]
    tokenizer.post_processor = template(["<s>", "$A", "</s>"], pair, [("<s>", 0), ("</s>", 2)])
    return tokenizer


def byte_fallback_bpe(model, unk: str) -> models.BPE:
    """Merges by score, as transformers' SentencePieceExtractor."""
    vocab = {piece.piece: i for i, piece in enumerate(model.pieces)}
    merges = []
    for piece in model.pieces:
        ways = [
            (piece.piece[:cut], piece.piece[cut:], piece.score)
            for cut in range(1, len(piece.piece))
            if piece.piece[:cut] in vocab and piece.piece[cut:] in vocab
        ]
        merges += sorted(ways, key=lambda way: (vocab[way[0]], vocab[way[1]]))
    merges.sort(key=lambda way: way[2], reverse=True)
    pairs = [(left, right) for left, right, _ in merges]
    return models.BPE(vocab=vocab, merges=pairs, unk_token=unk, fuse_unk=True, byte_fallback=True)


def sentencepiece_gguf(model, folder: Path, **more) -> None:
    data = {
        "model": "llama",
        "tokens": [piece.piece for piece in model.pieces],
        "scores": [piece.score for piece in model.pieces],
        "token_type": [piece.type for piece in model.pieces],
    }
    write_gguf(folder, data | more)


LLAMA2_OPTIONS = {
    "model_type": "bpe",
    "byte_fallback": True,
    "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
    "split_digits": True,
    "allow_whitespace_only_pieces": True,
}


def llama2_parts(texts: list[str], folder: Path) -> Tokenizer:
    model = train_sentencepiece(texts, folder.parent / "llama2-model" / "tokenizer.model", **LLAMA2_OPTIONS)
    tokenizer = Tokenizer(byte_fallback_bpe(model, "<unk>"))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = template(["<s>", "$A"], ["<s>", "$A", "<s>:1", "$B:1"], [("<s>", 1)])
    ids = {"bos_token_id": 1, "eos_token_id": 2, "unknown_token_id": 0}
    sentencepiece_gguf(model, folder.parent / "llama2-gguf", **ids)
    return tokenizer


def llama2_legacy(texts: list[str], folder: Path) -> Tokenizer:
    tokenizer = llama2_parts(texts, folder)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return tokenizer


def llama2(texts: list[str], folder: Path) -> Tokenizer:
    tokenizer = llama2_parts(texts, folder)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    return tokenizer


def gemma(texts: list[str], folder: Path) -> Tokenizer:
    options = LLAMA2_OPTIONS | {"add_dummy_prefix": False, "pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3}
    options |= {
        "bos_piece": "<bos>",
        "eos_piece": "<eos>",
        "user_defined_symbols": ["<start_of_turn>", "<end_of_turn>"],
    }
    model = train_sentencepiece(texts, folder.parent / "gemma-model" / "tokenizer.model", **options)
    tokenizer = Tokenizer(byte_fallback_bpe(model, "<unk>"))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(pattern=" ", behavior="merged_with_previous", invert=False)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"])
    tokenizer.post_processor = template(["<bos>", "$A"], ["<bos>", "$A", "<bos>:1", "$B:1"], [("<bos>", 2)])
    for piece in model.pieces:  # llama.cpp's conversion marks the turns as control tokens
        if piece.piece in ("<start_of_turn>", "<end_of_turn>"):
            piece.type = sentencepiece_model_pb2.ModelProto.SentencePiece.CONTROL
    ids = {"bos_token_id": 2, "eos_token_id": 1, "unknown_token_id": 3, "add_space_prefix": False}
    sentencepiece_gguf(model, folder.parent / "gemma-gguf", **ids)
    return tokenizer


def t5(texts: list[str], folder: Path) -> Tokenizer:
    """Unigram with byte fallback and a Metaspace that begins the first piece alone."""
    path = folder.parent / "unigram-model" / "tokenizer.model"
    model = train_sentencepiece(texts, path, model_type="unigram", byte_fallback=True)
    vocab = [(piece.piece, piece.score) for piece in model.pieces]
    tokenizer = Tokenizer(models.Unigram(vocab, 0, True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Strip(left=False)])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=True)
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace("▁", "first", True)])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = template(["$A", "</s>"], ["$A", "</s>", "$B:1", "</s>:1"], [("</s>", 2)])
    return tokenizer


FAMILIES = {
    "roberta": roberta,
    "gpt2": gpt2,
    "smollm2": smollm2,
    "llama3": llama3,
    "qwen2": qwen2,
    "xlm-roberta": xlm_roberta,
    "llama2-legacy": llama2_legacy,
    "llama2": llama2,
    "gemma": gemma,
    "unigram": t5,
}
