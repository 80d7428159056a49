#include "ops/core_products.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <map>

#include "ops/adapted_linear.h"
#include "ops/simd.h"
#include "ops/skinny_gemm.h"

namespace loraxs {
namespace {

constexpr int64_t kTransposeRows = 8;   // below, transposing R costs more than multiplying with it
constexpr int64_t kColumnRows = 24;     // a decode step: threads share the columns; from here on the rows
constexpr int64_t kBlockRows = 48;      // that a thread takes at most at a time
constexpr int64_t kTinyRows = 96;       // segments that one thread takes whole on the way back
constexpr int64_t kTaskWork = 1 << 16;  // multiply-adds below which a second thread does not pay
using Eight = simd::Vector<8>::Value;

/// Columns 0 to 7 of eight rows that stand `stride` apart.
LORAXS_INLINE void transpose(const float* rows, int64_t stride, Eight columns[8]) {
  Eight pairs[8], quads[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    const Eight x = simd::Vector<8>::load(rows + i * stride), y = simd::Vector<8>::load(rows + (i + 1) * stride);
    pairs[i] = __builtin_shufflevector(x, y, 0, 8, 1, 9, 4, 12, 5, 13);
    pairs[i + 1] = __builtin_shufflevector(x, y, 2, 10, 3, 11, 6, 14, 7, 15);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      quads[i + 2 * j] = __builtin_shufflevector(pairs[i + j], pairs[i + j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      quads[i + 2 * j + 1] = __builtin_shufflevector(pairs[i + j], pairs[i + j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    columns[i] = __builtin_shufflevector(quads[i], quads[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    columns[i + 4] = __builtin_shufflevector(quads[i], quads[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

/// z [begin, begin + CHAINS) = scale · R u, the sums side by side in one vector: a loop over scalars becomes products
/// and additions that round apart.
template <int CHAINS, typename T>
LORAXS_INLINE void multiply_chains(float* z, const T* u, const float* rows, int64_t rank, float scale) {
  using V = simd::Vector<CHAINS>;
  typename V::Value sums = {};
  int64_t k = 0;
  if constexpr (CHAINS == 8) {
    for (; k + 8 <= rank; k += 8, rows += 8) {
      Eight columns[8];
      transpose(rows, rank, columns);
#pragma GCC unroll 8
      for (int c = 0; c < 8; ++c) sums += scale * simd::widen(u + k + c) * columns[c];
    }
  }
  for (; k < rank; ++k, ++rows) {
    typename V::Value column;
#pragma GCC unroll 8
    for (int c = 0; c < CHAINS; ++c) column[c] = rows[c * rank];
    const float factor = scale * simd::widen(u + k);
    sums += factor * column;
  }
  V::store(z, sums);
}

/// z [rank] = scale · R u for one row; the chains and their widths are those of skinny_gemm_ on the transposed R, so
/// the bits are too.
template <typename T>
LORAXS_INLINE void multiply(float* z, const T* u, const float* r, int64_t rank, float scale) {
  int64_t i = 0;
  for (; i + 8 <= rank; i += 8) multiply_chains<8>(z + i, u, r + i * rank, rank, scale);
  for (; i + 4 <= rank; i += 4) multiply_chains<4>(z + i, u, r + i * rank, rank, scale);
  for (; i < rank; ++i) simd::gemm_column<1>(z + i, 1, u, 1, 1, r + i * rank, 1, rank, scale, /*accumulate=*/false);
}

template <typename A, typename B, typename C>
LORAXS_INLINE void gemm(C* c, int64_t c_stride, const A* a, int64_t a_row, int64_t a_k, const B* b, int64_t b_stride,
                        int64_t rows, int64_t n, int64_t k, float alpha, bool accumulate) {
  simd::gemm_rows(c, c_stride, a, a_row, a_k, b, b_stride, 0, rows, n, k, alpha, accumulate);
}

/// Kernels for activations of type T.
template <typename T>
struct Kernels {
  static constexpr auto row_product = simd::kernel<multiply<T>>;                 // z = scale · R u, one row
  static constexpr auto into_rows = simd::kernel<gemm<T, float, float>>;         // scale · u Rᵀ; v = scale · dy b
  static constexpr auto into_activations = simd::kernel<gemm<float, float, T>>;  // y += z bᵀ; du = v R
  static constexpr auto into_activations_by_halves = simd::kernel<gemm<float, c10::BFloat16, T>>;  // y += z bᵀ
  static constexpr auto into_gradient = simd::kernel<gemm<float, T, float>>;                       // dR += vᵀ u
};

/// Numbers of one thread's own; kept, because a step asks for them hundreds of times.
float* scratch(int which, int64_t numbers) {
  thread_local std::vector<float> kept[2];
  if (static_cast<int64_t>(kept[which].size()) < numbers) kept[which].resize(numbers);
  return kept[which].data();
}

/// z [rows of the piece from `begin` to `end`, rank], rows z_stride apart, = scale · u Rᵀ; u is the batch's first row.
template <typename T>
void multiply_piece(float* z, int64_t z_stride, const T* u, int64_t stride, const CorePiece& piece, int64_t begin,
                    int64_t end) {
  const int64_t rank = piece.rank, rows = end - begin;
  if (rows < kTransposeRows) {
    for (int64_t row = 0; row < rows; ++row)
      Kernels<T>::row_product(z + row * z_stride, u + (begin + row) * stride, piece.r, rank, piece.scale);
    return;
  }
  float* transposed = scratch(1, rank * rank);
  for (int64_t i = 0; i < rank; ++i) {
    for (int64_t j = 0; j < rank; ++j) transposed[j * rank + i] = piece.r[i * rank + j];
  }
  Kernels<T>::into_rows(z, z_stride, u + begin * stride, stride, 1, transposed, rank, rows, rank, rank, piece.scale,
                        /*accumulate=*/false);
}

/// z [end - begin, site's rank], rows z_stride apart, of rows [begin, end) of the batch.
template <typename T>
void multiply_cores(float* z, int64_t z_stride, const T* y, int64_t stride, const CoreSite& core, int64_t begin,
                    int64_t end) {
  auto piece = std::lower_bound(core.pieces.begin(), core.pieces.end(), begin,
                                [](const CorePiece& p, int64_t row) { return p.end <= row; });
  for (; piece != core.pieces.end() && piece->begin < end; ++piece) {
    const int64_t first = std::max(begin, piece->begin);
    multiply_piece(z + (first - begin) * z_stride, z_stride, y + core.site->u_column, stride, *piece, first,
                   std::min(end, piece->end));
  }
}

/// Columns [column, column_end) of rows [begin, end) of a site's output; z is that of row `begin`.
template <typename T>
void add_runs(T* y, int64_t stride, const CoreSite& core, const float* z, int64_t z_stride, int64_t begin, int64_t end,
              int64_t column, int64_t column_end) {
  const JoinedSite& site = *core.site;
  const bool halves = site.b_transposed.scalar_type() == torch::kBFloat16;
  for (const CoreRun& run : core.runs) {
    const int64_t first = std::max(begin, run.begin), last = std::min(end, run.end);
    if (first >= last) continue;
    const auto add = [&](auto kernel, auto* b) {
      kernel(y + first * stride + site.column + column, stride, z + (first - begin) * z_stride, z_stride, 1, b + column,
             site.out_features, last - first, column_end - column, run.rank, 1.0F, /*accumulate=*/true);
    };
    if (halves) {
      add(Kernels<T>::into_activations_by_halves, site.b_transposed.const_data_ptr<c10::BFloat16>());
    } else {
      add(Kernels<T>::into_activations, site.b_transposed.const_data_ptr<float>());
    }
  }
}

template <typename T>
void add_block(T* y, int64_t stride, const CoreSite& core, int64_t begin, int64_t end, int64_t column,
               int64_t column_end) {
  const int64_t rank = core.site->rank;
  float* z = scratch(0, (end - begin) * rank);
  multiply_cores(z, rank, y, stride, core, begin, end);
  add_runs(y, stride, core, z, rank, begin, end, column, column_end);
}

/// Such that threads get as many blocks each, of about one size: of 64 rows two threads take 32, not 48 and 16.
int64_t rows_of_a_block(int64_t rows) {
  const int64_t threads = at::get_num_threads(), turns = (rows + threads * kBlockRows - 1) / (threads * kBlockRows);
  constexpr int64_t kEven = 2;  // of the GEMM's heights, the one that any number nearly is a multiple of
  return (rows + turns * threads * kEven - 1) / (turns * threads * kEven) * kEven;
}

int64_t tiles_of(const CoreSite& core) { return (core.site->out_features + simd::kWidth - 1) / simd::kWidth; }

template <typename T>
void add_outputs(const torch::Tensor& y, std::span<const CoreSite> sites) {
  T* data = y.mutable_data_ptr<T>();
  const int64_t stride = y.stride(0), rows = y.size(0);
  int64_t tiles = 0, work = 0;  // of one row
  for (const CoreSite& core : sites) {
    tiles += tiles_of(core);
    work += core.site->rank * (core.site->out_features + core.site->rank);
  }
  if (rows > kColumnRows) {
    const int64_t block_rows = rows_of_a_block(rows);
    at::parallel_for(0, (rows + block_rows - 1) / block_rows, std::max<int64_t>(1, kTaskWork / (block_rows * work)),
                     [&](int64_t begin, int64_t end) {
                       for (int64_t block = begin; block < end; ++block) {
                         for (const CoreSite& core : sites)
                           add_block(data, stride, core, block * block_rows, std::min(rows, (block + 1) * block_rows),
                                     0, core.site->out_features);
                       }
                     });
    return;
  }
  // A thread's span of columns touches few sites; what u Rᵀ those share with another thread is computed by both.
  at::parallel_for(0, tiles, std::max<int64_t>(1, kTaskWork * tiles / std::max<int64_t>(1, rows * work)),
                   [&](int64_t begin, int64_t end) {
                     int64_t first = 0;  // tile of the site
                     for (const CoreSite& core : sites) {
                       const int64_t count = tiles_of(core);
                       const int64_t from = std::max(begin, first) - first, to = std::min(end, first + count) - first;
                       first += count;
                       if (from >= to) continue;
                       add_block(data, stride, core, 0, rows, from * simd::kWidth,
                                 std::min(core.site->out_features, to * simd::kWidth));
                     }
                   });
}

/// One piece of one site on the way back.
template <typename T>
struct Backward {
  T* dy;
  int64_t dy_stride;
  const T* u;
  int64_t u_stride, out_features;
  bool needs_du;

  void operator()(const JoinedSite& site, const CorePiece& piece) const {
    const int64_t rows = piece.end - piece.begin, rank = piece.rank;
    float* v = scratch(0, rows * rank);  // scale · dy b: the gradient of u Rᵀ
    T* first = dy + piece.begin * dy_stride;
    Kernels<T>::into_rows(v, rank, first + site.column, dy_stride, 1, site.b.const_data_ptr<float>(), site.rank, rows,
                          rank, site.out_features, piece.scale, /*accumulate=*/false);
    if (piece.dr != nullptr) {
      Kernels<T>::into_gradient(piece.dr, rank, v, 1, rank, u + piece.begin * u_stride + site.u_column - out_features,
                                u_stride, rank, rank, rows, 1.0F, /*accumulate=*/true);
    }
    if (needs_du) {
      Kernels<T>::into_activations(first + site.u_column, dy_stride, v, rank, 1, piece.r, rank, rows, rank, rank, 1.0F,
                                   /*accumulate=*/false);
    }
  }
};

/// The same for a piece of many rows, by GEMMs that share them between threads.
void backward_by_rows(const torch::Tensor& dy, const torch::Tensor& u, int64_t out_features, const JoinedSite& site,
                      const CorePiece& piece, bool needs_du) {
  const int64_t rows = piece.end - piece.begin, rank = piece.rank;
  const auto matrix = [&](const float* data) {
    return torch::from_blob(const_cast<float*>(data), {rank, rank}, torch::kFloat32);  // from_blob has no const form
  };
  const torch::Tensor d = dy.narrow(0, piece.begin, rows), v = torch::empty({rows, rank}, site.b.options());
  skinny_gemm_(v, d.narrow(1, site.column, site.out_features), site.b.narrow(1, 0, rank), piece.scale, false);
  if (piece.dr != nullptr) {
    skinny_gemm_(matrix(piece.dr), v.t(), u.narrow(0, piece.begin, rows).narrow(1, site.u_column - out_features, rank),
                 1.0, true);
  }
  if (needs_du) skinny_gemm_(d.narrow(1, site.u_column, rank), v, matrix(piece.r), 1.0, false);
}

template <typename T>
void backward(const torch::Tensor& dy, const torch::Tensor& u, int64_t out_features, std::span<const CoreSite> sites,
              bool needs_du) {
  struct Task {
    const JoinedSite* site;
    std::vector<const CorePiece*> pieces;  // of one R, in order: their sums go into one gradient
  };
  std::vector<Task> tasks;
  int64_t work = 0;
  for (const CoreSite& core : sites) {
    std::map<const float*, size_t> task_of;
    for (const CorePiece& piece : core.pieces) {
      if (piece.dr == nullptr && !needs_du) continue;
      if (piece.end - piece.begin >= kTinyRows) {
        backward_by_rows(dy, u, out_features, *core.site, piece, needs_du);
        continue;
      }
      const auto [place, fresh] = task_of.try_emplace(piece.r, tasks.size());
      if (fresh) tasks.push_back({core.site, {}});
      tasks[place->second].pieces.push_back(&piece);
      work += (piece.end - piece.begin) * piece.rank * (core.site->out_features + 2 * piece.rank);
    }
  }
  if (tasks.empty()) return;
  const Backward<T> step{.dy = dy.mutable_data_ptr<T>(),
                         .dy_stride = dy.stride(0),
                         .u = u.const_data_ptr<T>(),
                         .u_stride = u.stride(0),
                         .out_features = out_features,
                         .needs_du = needs_du};
  const auto count = static_cast<int64_t>(tasks.size());
  at::parallel_for(0, count, std::max<int64_t>(1, kTaskWork * count / std::max<int64_t>(1, work)),
                   [&](int64_t begin, int64_t end) {
                     for (int64_t t = begin; t < end; ++t) {
                       for (const CorePiece* piece : tasks[t].pieces) step(*tasks[t].site, *piece);
                     }
                   });
}

}  // namespace

std::vector<CoreSite> core_sites(const JoinedProjection& projection, const std::vector<SegmentAdapters>& segments) {
  std::vector<CoreSite> sites;
  for (size_t i = 0; i < projection.sites.size(); ++i) {
    CoreSite core{.site = &projection.sites[i]};
    for (const SegmentAdapters& segment : segments) {
      const SiteParts& parts = segment.parts(projection, i);
      if (!parts.only_r()) continue;
      const AdapterRow& row = segment.row;
      CorePiece piece{.begin = segment.begin,
                      .end = segment.end,
                      .rank = parts.rank,
                      .r = row.values.const_data_ptr<float>() + parts.r.offset,
                      .scale = static_cast<float>(parts.scale(row.alpha))};
      if (row.gradients.defined()) piece.dr = row.gradients.mutable_data_ptr<float>() + parts.r.offset;
      if (core.runs.empty() || core.runs.back().end != piece.begin || core.runs.back().rank != piece.rank)
        core.runs.push_back({piece.begin, piece.begin, piece.rank});
      core.runs.back().end = piece.end;
      core.pieces.push_back(piece);
    }
    if (!core.pieces.empty()) sites.push_back(std::move(core));
  }
  return sites;
}

void add_core_outputs_(const torch::Tensor& y, std::span<const CoreSite> sites) {
  if (sites.empty()) return;
  if (y.scalar_type() == torch::kFloat32) {
    add_outputs<float>(y, sites);
  } else {
    add_outputs<c10::BFloat16>(y, sites);
  }
}

CoreOutputs::CoreOutputs(const torch::Tensor& y, std::span<const CoreSite> sites)
    : sites_(sites), y_(y.mutable_data_ptr<float>()), stride_(y.stride(0)) {
  for (const CoreSite& core : sites_) width_ += core.site->rank;
  z_ = std::make_unique_for_overwrite<float[]>(static_cast<size_t>(y.size(0) * width_));
}

Alongside CoreOutputs::alongside() {
  if (sites_.empty()) return {};
  Alongside work;
  for (const CoreSite& core : sites_) work.row_work += core.site->rank * core.site->rank;
  work.rows = [this](int64_t begin, int64_t end) {
    float* z = z_.get() + begin * width_;
    for (const CoreSite& core : sites_) {
      multiply_cores(z, width_, y_, stride_, core, begin, end);
      z += core.site->rank;
    }
  };
  work.columns = [this](int64_t column, int64_t end) {
    const float* z = z_.get();
    for (const CoreSite& core : sites_) {
      const JoinedSite& site = *core.site;
      const int64_t from = std::max(column, site.column), to = std::min(end, site.column + site.out_features);
      if (from < to)
        add_runs(y_, stride_, core, z, width_, 0, core.runs.back().end, from - site.column, to - site.column);
      z += site.rank;
    }
  };
  return work;
}

void core_backward_(const torch::Tensor& dy, const torch::Tensor& u, int64_t out_features,
                    std::span<const CoreSite> sites, bool needs_du) {
  if (sites.empty()) return;
  torch::NoGradGuard no_grad;
  if (dy.scalar_type() == torch::kFloat32) {
    backward<float>(dy, u, out_features, sites, needs_du);
  } else {
    backward<c10::BFloat16>(dy, u, out_features, sites, needs_du);
  }
}

}  // namespace loraxs
