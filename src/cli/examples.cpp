#include "cli/examples.h"

#include <utility>

namespace loraxs {
namespace {

constexpr std::pair<const char*, const char*> kExamples[] = {
    {"init",
     "loraxs init recipe.yaml --model models/minilm --train examples/tickets/tickets.csv --text message "
     "--label team"},
    {"train", "loraxs train recipe.yaml --set train.epochs=20 --set train.batch_size=8"},
    {"show", "loraxs show runs/classification/seed-0/best.safetensors"},
    {"eval",
     "loraxs eval --model models/minilm --adapter runs/classification/seed-0/best.safetensors --task "
     "classification --data examples/tickets/tickets.csv --set text=message --set label=team"},
    {"predict",
     "loraxs predict --model models/minilm --adapter runs/classification/seed-0/best.safetensors --input "
     "examples/tickets/new.csv --text message"},
    {"generate",
     "loraxs generate --model models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --chat --prompt \"Who are "
     "you?\" -n 64"},
    {"chat", "loraxs chat --model models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --temperature 0.7 --top-p 0.9"},
    {"combine",
     "loraxs combine \"0.5*runs/classification/seed-0/best.safetensors + "
     "0.5*runs/classification/seed-0/last.safetensors\" --model models/minilm --out between.safetensors"},
    {"sweep",
     "loraxs sweep --model models/minilm --from runs/classification/seed-0/best.safetensors --to "
     "runs/classification/seed-0/last.safetensors --task classification --data "
     "examples/tickets/tickets.csv --set text=message --set label=team"},
    {"nearest",
     "loraxs nearest --model models/minilm --adapter runs/classification/seed-0/best.safetensors --in "
     "runs/classification/seed-0"},
    {"merge",
     "loraxs merge --model models/minilm --adapter runs/classification/seed-0/best.safetensors --out "
     "merged"},
    {"unmerge",
     "loraxs unmerge --model models/minilm --adapter runs/classification/seed-0/best.safetensors --merged "
     "merged --out restored"},
    {"convert", "loraxs convert --model models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --out smollm2"},
    {"export",
     "loraxs export --model models/minilm --adapter runs/classification/seed-0/best.safetensors --format "
     "peft --out as-lora"},
    {"import", "loraxs import --model models/minilm --from as-lora --out imported.safetensors"},
    {"basis", "loraxs basis --model models/minilm --rank 16 --out minilm.basis.safetensors"},
    {"params", "loraxs params models/minilm --rank 4,16"},
    {"table", "loraxs table runs/classification"},
    {"study",
     "loraxs study energy --model models/minilm --task classification --data examples/tickets/tickets.csv "
     "--set text=message --set label=team --rank 4"},
    {"cache", "loraxs cache list"},
    {"doctor", "loraxs doctor"},
};

}  // namespace

const char* example_of(const std::string& command) {
  for (const auto& [name, line] : kExamples) {
    if (command == name) return line;
  }
  return "";
}

}  // namespace loraxs
