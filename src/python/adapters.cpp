#include <nanobind/ndarray.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "adapt/head_tensors.h"
#include "api/adapter_tools.h"
#include "api/opened_adapter.h"
#include "api/predictor.h"
#include "api/store.h"
#include "io/error.h"
#include "python/bindings.h"

namespace nb = nanobind;

namespace loraxs {
namespace {

using Path = std::filesystem::path;

/// A base model with the settings its calls use.
struct PythonModel {
  BaseModel base;
  Settings settings;
};

/// Segment name -> tensor over all rows of the bank, [adapters, …]: strided views.
nb::dict bank_tensors(const Bank& bank) {
  nb::dict tensors;
  for (const LayoutSegment& segment : bank.layout->segments) {
    std::vector<int64_t> shape = {bank.num_adapters()};
    shape.insert(shape.end(), segment.shape.begin(), segment.shape.end());
    tensors[segment.name.c_str()] =
        python_tensor(bank.values.narrow(1, segment.offset, segment.numel()).unflatten(1, segment.shape).view(shape));
  }
  return tensors;
}

/// Segment name -> tensor of the adapter, views of its row.
nb::dict row_tensors(const OpenedAdapter& opened) {
  nb::dict tensors;
  for (const LayoutSegment& segment : opened.bank->layout->segments) {
    tensors[segment.name.c_str()] = python_tensor(segment_value(*opened.bank, 0, segment));
  }
  return tensors;
}

nb::dict ranks_of(const Layout& layout) {
  nb::dict ranks;
  for (size_t i = 0; i < layout.sites.size(); ++i) ranks[layout.sites[i].name.c_str()] = layout.ranks[i];
  return ranks;
}

/// str, or (first, second).
std::vector<Example> examples_of(const nb::sequence& texts) {
  std::vector<Example> examples;
  for (const nb::handle item : texts) {
    Example example;
    if (nb::isinstance<nb::str>(item)) {
      example.first = nb::cast<std::string>(item);
    } else if (nb::isinstance<nb::sequence>(item) && nb::len(item) == 2) {
      example.first = nb::cast<std::string>(item[0]);
      example.second = nb::cast<std::string>(item[1]);
    } else {
      throw Error(concat("texts[", examples.size(), "]: expected a string or a pair of strings, found ",
                         nb::cast<std::string>(nb::str(item.type()))));
    }
    examples.push_back(std::move(example));
  }
  return examples;
}

/// "lora_xs, rank 16, 24 sites"
std::string layout_text(const Layout& layout) {
  return concat(layout.method, ", rank ", layout.largest_rank(), ", ", layout.sites.size(), " sites");
}

void bind_tensors(nb::module_& m) {
  nb::class_<Basis>(m, "Basis", "Frozen directions of a base model: W is adapted by scale * b @ R @ a.")
      .def(
          "__init__", [](Basis* self, const Path& path) { new (self) Basis(read_basis(path)); }, nb::arg("path"),
          "Read a basis file, checked whole.")
      .def(
          "__repr__",
          [](const Basis& self) { return concat("Basis(", self.sites.size(), " sites, rank ", self.recipe.rank, ")"); })
      .def_ro("base_id", &Basis::base_id, "Digest of the base model it belongs to.")
      .def_ro("basis_id", &Basis::basis_id, "Digest of the file.")
      .def_prop_ro(
          "path", [](const Basis& self) { return self.path; }, "The file.")
      .def_prop_ro(
          "rank", [](const Basis& self) { return self.recipe.rank; }, "Largest rank.")
      .def_prop_ro(
          "tensors",
          [](const Basis& self) {
            nb::dict tensors;  // copies: the file is mapped read-only, and torch has no read-only tensors
            for (const auto& [name, pair] : self.sites) {
              tensors[name.c_str()] = nb::make_tuple(python_tensor(pair.a.clone()), python_tensor(pair.b.clone()));
            }
            return tensors;
          },
          "Site name -> (a [rank, in_features], b [out_features, rank]), float32 copies.");

  nb::class_<OpenedBank>(m, "Bank", "Adapters of one layout, one per row.")
      .def("__len__", [](const OpenedBank& self) { return self.files.size(); })
      .def("__repr__",
           [](const OpenedBank& self) {
             return concat("Bank(", self.files.size(), " adapters, ", layout_text(*self.bank->layout), ")");
           })
      .def_prop_ro(
          "names",
          [](const OpenedBank& self) {
            std::vector<std::string> names;
            names.reserve(self.files.size());
            for (const AdapterFile& file : self.files) names.push_back(file.path.stem().string());
            return names;
          },
          "File names without the extension, in row order.")
      .def_prop_ro(
          "values", [](const OpenedBank& self) { return python_tensor(self.bank->values); },
          "[adapters, row] float32, not copied: writing to it changes the bank.")
      .def_prop_ro(
          "tensors", [](const OpenedBank& self) { return bank_tensors(*self.bank); },
          "Segment name -> [adapters, ...], strided views of values.")
      .def_prop_ro(
          "ranks", [](const OpenedBank& self) { return ranks_of(*self.bank->layout); }, "Site name -> rank.")
      .def_prop_ro(
          "basis", [](const OpenedBank& self) { return *self.basis; }, "The basis of all of them.");
}

void bind_adapter(nb::module_& m) {
  nb::class_<OpenedAdapter>(m, "Adapter", "One adapter on its base model and basis.")
      .def("__repr__",
           [](const OpenedAdapter& self) {
             return concat("Adapter(", self.file.path.string(), ", ", layout_text(*self.bank->layout), ")");
           })
      .def_prop_ro(
          "path", [](const OpenedAdapter& self) { return self.file.path; }, "The file it was read from.")
      .def_prop_ro(
          "row", [](const OpenedAdapter& self) { return python_tensor(self.bank->values.select(0, 0)); },
          "[row] float32: all it trains, not copied. Writing to it changes the adapter, not its file.")
      .def_prop_ro("tensors", &row_tensors, "Segment name -> tensor, views of row: 'layers.0.query.r' is R.")
      .def_prop_ro(
          "ranks", [](const OpenedAdapter& self) { return ranks_of(*self.bank->layout); }, "Site name -> rank.")
      .def_prop_ro(
          "alpha", [](const OpenedAdapter& self) { return self.bank->alpha(0); }, "R acts with alpha / rank.")
      .def_prop_ro(
          "labels", [](const OpenedAdapter& self) { return self.bank->labels(0); },
          "Class names; empty for regression and without a head.")
      .def_prop_ro(
          "task", [](const OpenedAdapter& self) { return self.file.provenance.task; }, "What it was trained on.")
      .def_prop_ro(
          "base_id", [](const OpenedAdapter& self) { return self.file.base_id; }, "Digest of its base model.")
      .def_prop_ro(
          "basis_id", [](const OpenedAdapter& self) { return self.file.basis_id; }, "Digest of its basis.")
      .def_prop_ro(
          "basis", [](const OpenedAdapter& self) { return *self.basis; }, "The basis.")
      .def(
          "save",
          [](const OpenedAdapter& self, const Path& out) {
            write_adapter(out, *self.bank, 0, self.model, *self.basis, self.file.provenance);
          },
          nb::arg("out"), "Write the adapter as it is now, its row included.")
      .def("export", &export_adapter, nb::arg("format"), nb::arg("out"), nb::call_guard<nb::gil_scoped_release>(),
           "Write it in another format: 'peft' (a folder) or 'loraxs' (a file).")
      .def(
          "_merge",
          [](const OpenedAdapter& self, const Path& out) {
            MergeCheck check;
            {
              nb::gil_scoped_release release;
              check = merge_to(self, out, "");
            }
            return nb::make_tuple(check.base_id, check.outputs.difference, check.outputs.effect);
          },
          nb::arg("out"));

  nb::class_<Predictor>(m, "_Predictor")
      .def(
          "__init__",
          [](Predictor* self, const OpenedAdapter& opened, const std::string& precision) {
            const nb::gil_scoped_release release;
            new (self) Predictor(opened, precision);
          },
          nb::arg("adapter"), nb::arg("precision") = "auto")
      .def("use", &Predictor::use, nb::arg("adapter"), nb::call_guard<nb::gil_scoped_release>())
      .def_prop_ro("labels", [](const Predictor& self) { return self.labels(); })
      .def(
          "predict",
          [](Predictor& self, const nb::sequence& texts) {
            const std::vector<Example> examples = examples_of(texts);
            std::vector<Prediction> predictions;
            {
              nb::gil_scoped_release release;
              predictions = self.predict(examples);
            }
            nb::list result;
            for (const Prediction& one : predictions)
              result.append(nb::make_tuple(one.label, one.score, one.scores, one.error));
            return result;
          },
          nb::arg("texts"))
      .def(
          "logits",
          [](Predictor& self, const nb::sequence& texts) {
            const std::vector<Example> examples = examples_of(texts);
            torch::Tensor logits;
            {
              nb::gil_scoped_release release;
              logits = self.logits(examples);
            }
            return python_tensor(logits);
          },
          nb::arg("texts"));
}

}  // namespace

nb::object python_tensor(const torch::Tensor& tensor) {
  TORCH_CHECK(
      tensor.device().is_cpu() && (tensor.scalar_type() == torch::kFloat32 || tensor.scalar_type() == torch::kFloat64),
      "expected a float tensor on the CPU, found ", tensor.toString());
  nb::capsule keep(new torch::Tensor(tensor), [](void* held) noexcept { delete static_cast<torch::Tensor*>(held); });
  const std::vector<size_t> shape(tensor.sizes().begin(), tensor.sizes().end());
  const std::vector<int64_t> strides(tensor.strides().begin(), tensor.strides().end());
  const nb::dlpack::dtype dtype = tensor.scalar_type() == torch::kFloat32 ? nb::dtype<float>() : nb::dtype<double>();
  return nb::cast(nb::ndarray<nb::pytorch>(tensor.data_ptr(), shape.size(), shape.data(), keep, strides.data(), dtype));
}

Settings python_settings(const Path& cache, const nb::object& log) {
  Settings settings{.cache = cache.empty() ? default_cache_folder() : cache};
  // Copies of the sink may be dropped where the interpreter is released.
  const std::shared_ptr<nb::object> held(new nb::object(log), [](nb::object* object) {
    nb::gil_scoped_acquire acquire;
    delete object;
  });
  settings.log = [held](LogLevel level, const std::string& line) {
    nb::gil_scoped_acquire acquire;
    if (level == LogLevel::kWarning) {
      nb::module_::import_("warnings").attr("warn")(line);
    } else if (!held->is_none()) {
      (*held)(line);
    }
  };
  return settings;
}

void bind_adapters(nb::module_& m) {
  bind_tensors(m);
  bind_adapter(m);
  nb::class_<PythonModel>(m, "Model", "A base model: a Hugging Face folder, mapped, never changed.")
      .def("__repr__",
           [](const PythonModel& self) {
             return concat("Model(", self.base.folder.string(), ", ", self.base.architecture->model_type, ")");
           })
      .def(
          "__init__",
          [](PythonModel* self, const Path& folder, const Path& cache, const nb::object& log,
             const std::vector<std::string>& accept_config, const std::string& pre_tokenizer) {
            Settings settings = python_settings(cache, log);
            settings.reading = {accept_config, pre_tokenizer};
            nb::gil_scoped_release release;
            new (self) PythonModel{open_model(folder, settings), settings};
          },
          nb::arg("folder"), nb::arg("cache") = "", nb::arg("log") = nb::none(),
          nb::arg("accept_config") = std::vector<std::string>(), nb::arg("pre_tokenizer") = "",
          "Open a folder. `cache` keeps bases and ids (default: ~/.cache/loraxs); `log` hears lines of progress; "
          "`accept_config` names keys of config.json that are read as if they did not stand there.")
      .def_prop_ro(
          "folder", [](const PythonModel& self) { return self.base.folder; }, "The folder.")
      .def_prop_ro(
          "base_id", [](const PythonModel& self) { return self.base.base_id; }, "Digest of config and weights.")
      .def(
          "open",
          [](const PythonModel& self, const Path& adapter, const Path& basis, bool accept_base) {
            nb::gil_scoped_release release;
            return open_adapter_on_model(self.base, adapter, {basis, accept_base}, self.settings);
          },
          nb::arg("adapter"), nb::arg("basis") = "", nb::arg("accept_base") = false,
          "Open an adapter file, checked against this base and its basis (computed or cached without `basis`).")
      .def(
          "_open_bank",
          [](const PythonModel& self, const std::vector<Path>& adapters, const Path& basis) {
            nb::gil_scoped_release release;
            return open_bank_on_model(self.base, adapters, {.basis_file = basis}, self.settings);
          },
          nb::arg("adapters"), nb::arg("basis") = "")
      .def(
          "_combine",
          [](const PythonModel& self, const std::string& expression, const std::string& head, const Path& out) {
            nb::gil_scoped_release release;
            combine_files(self.base, expression, head, out, self.settings);
          },
          nb::arg("expression"), nb::arg("head"), nb::arg("out"));
  m.def(
      "_adapters_in",
      [](const Path& place) {
        std::vector<std::string> names;  // as texts: a Path of Python's would lose a slash of lmdb:///
        for (const Path& each : adapters_of(place)) names.push_back(each.string());
        return names;
      },
      nb::arg("place"));
  m.def(
      "_store_put",
      [](const std::string& reference, const Path& file, uint64_t keep) {
        nb::gil_scoped_release release;
        const StoreReference place = parse_store_reference(reference);
        const AdapterFile adapter = load_adapter(file);
        const auto store = open_store(place.url, OpenStore::kCreate);
        return put_adapters(*store, {{place.adapter(), &adapter}}, {.keep = keep}).front().version;
      },
      nb::arg("reference"), nb::arg("file"), nb::arg("keep"));
  m.def(
      "_store_versions",
      [](const std::string& url, const std::vector<std::string>& titles) {
        nb::gil_scoped_release release;
        const auto store = open_store(parse_store_url(url), OpenStore::kCreate);
        std::vector<AdapterName> names;
        names.reserve(titles.size());
        for (const std::string& title : titles) names.push_back(parse_store_reference(url + "#" + title).adapter());
        std::vector<uint64_t> versions(names.size(), 0);
        store->read_many(names, [&](size_t index, const RowValue* value) {
          if (value != nullptr) versions[index] = value->header.version;
        });
        return versions;
      },
      nb::arg("url"), nb::arg("titles"));
  m.def(
      "_store_get",
      [](const std::string& reference, const Path& out) {
        nb::gil_scoped_release release;
        get_adapter_file(reference, out);
      },
      nb::arg("reference"), nb::arg("out"));
}

}  // namespace loraxs
