#include "adapt/svd.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/linalg_svd.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "io/error.h"
#include "io/seeds.h"
#include "ops/thin_products.h"

namespace loraxs {
namespace {

constexpr double kResidual = 1e-9;    // of σ₁, both sides
constexpr double kGramRange = 1e-3;   // of σ₁: below, columns of W v / σ lose orthogonality to the squaring
constexpr double kTieWindow = 1e-3;   // entries this close to the largest count as equal when the sign is fixed
constexpr double kBreakdown = 1e-12;  // of ‖W‖_F: a panel this small spans nothing new
constexpr int64_t kBlock = 4;         // columns a panel: 2 converge in 120 columns on MiniLM, 4 in 150, 8 in 200
constexpr double kCheckGrowth = 1.3;  // the small SVD is tried at the latest when the space has grown by this factor
constexpr double kTailTarget = 0.3 * kResidual;  // of the residual that the small SVD predicts

/// Makes the entry of largest magnitude of each column of u positive, flipping v's column along.
void fix_signs(SingularTriples& triples) {
  const torch::Tensor magnitudes = triples.u.abs();
  const torch::Tensor largest = std::get<0>(magnitudes.max(0, /*keepdim=*/true));
  const torch::Tensor first = magnitudes.ge(largest * (1 - kTieWindow)).to(torch::kFloat64).argmax(0, /*keepdim=*/true);
  const torch::Tensor signs = torch::where(triples.u.gather(0, first).lt(0), -1.0, 1.0).to(torch::kFloat64);
  triples.u = triples.u * signs;
  triples.v = triples.v * signs;
}

/// aᵀ c as rows: [k, columns of a] from coefficients c [k, rows of a].
torch::Tensor combined_rows(const torch::Tensor& c, const torch::Tensor& a) {
  torch::Tensor rows = torch::zeros({c.size(0), a.size(1)}, a.options());
  add_combined_rows_(rows, 1, c.contiguous(), a);
  return rows;
}

void measure_residuals(const torch::Tensor& w, SingularTriples& triples) {
  const double scale = std::max(triples.s[0].item<double>(), 1e-300);
  const auto worst = [&](const torch::Tensor& difference) {
    return difference.norm(2, 1).max().item<double>() / scale;
  };
  const torch::Tensor u = triples.u.t().contiguous(), v = triples.v.t().contiguous(), s = triples.s.unsqueeze(1);
  triples.right_residual = worst(times_rows(v, w) - u * s);
  triples.left_residual = worst(combined_rows(u, w) - v * s);
}

/// By the eigenvectors of the smaller Gram matrix, half the work of an SVD. Squaring costs accuracy only far below σ₁:
/// kGramRange and the residuals, measured on w itself, decide.
SingularTriples from_gram(const torch::Tensor& w, int64_t rank) {
  const bool wide = w.size(1) > w.size(0);
  const torch::Tensor tall = wide ? w.t() : w;
  const auto [values, vectors] = at::linalg_eigh(tall.t().matmul(tall));  // ascending
  const torch::Tensor v = vectors.narrow(1, vectors.size(1) - rank, rank).flip(1).contiguous();
  const torch::Tensor image = tall.matmul(v), s = image.norm(2, 0);
  SingularTriples triples{.u = image / s, .s = s, .v = v};
  if (wide) std::swap(triples.u, triples.v);
  measure_residuals(w, triples);
  return triples;
}

SingularTriples from_svd(const torch::Tensor& w, int64_t rank) {
  const auto [u, s, vh] = at::linalg_svd(w, /*full_matrices=*/false);
  SingularTriples triples{.u = u.narrow(1, 0, rank).contiguous(),
                          .s = s.narrow(0, 0, rank).contiguous(),
                          .v = vh.narrow(0, 0, rank).t().contiguous()};
  measure_residuals(w, triples);
  return triples;
}

/// Orthonormal rows in place, each projected twice on those before it. Returns the lower triangle L, L · rows = what
/// they were; its diagonal is 0 where a row lies in the span of those before.
torch::Tensor orthonormalize_rows_(const torch::Tensor& rows) {
  torch::Tensor triangle = torch::zeros({rows.size(0), rows.size(0)}, rows.options());
  auto l = triangle.accessor<double, 2>();
  for (int64_t i = 0; i < rows.size(0); ++i) {
    const torch::Tensor row = rows.narrow(0, i, 1), before = rows.narrow(0, 0, i);
    for (int pass = 0; pass < 2 && i > 0; ++pass) {
      const torch::Tensor c = times_rows(row, before);
      add_combined_rows_(row, -1, c, before);
      triangle.narrow(0, i, 1).narrow(1, 0, i).add_(c);
    }
    l[i][i] = row.norm().item<double>();
    if (l[i][i] > 0) row.div_(l[i][i]);
  }
  return triangle;
}

/// Orthonormal rows of panel − (panel basisᵀ) basis. Projecting once loses orthogonality by cancellation, so the
/// normalised panel is projected again. Nothing if the panel has fewer new directions than rows.
std::optional<torch::Tensor> orthonormal_panel(const torch::Tensor& panel, const torch::Tensor& basis, double scale,
                                               torch::Tensor* triangle = nullptr) {
  torch::Tensor rows = panel.clone();
  for (int pass = 0; pass < 2; ++pass) {
    if (basis.size(0) > 0) add_combined_rows_(rows, -1, times_rows(rows, basis), basis);
    const torch::Tensor lower = orthonormalize_rows_(rows);
    if (pass > 0) break;
    if (lower.diagonal().min().item<double>() <= kBreakdown * scale) return std::nullopt;
    if (triangle != nullptr) *triangle = lower;
  }
  return rows;
}

/// When to try the small SVD next: where the residual, falling by a steady factor per column, should meet its target.
class CheckSchedule {
 public:
  explicit CheckSchedule(int64_t first) : next_(first) {}
  bool due(int64_t columns) const { return columns >= next_; }
  void missed(int64_t columns, double tail) {
    const double level = std::log(std::max(tail, 1e-300));
    double wait = (kCheckGrowth - 1) * static_cast<double>(columns);
    if (last_columns_ > 0 && level < last_level_) {
      const double fall = (last_level_ - level) / static_cast<double>(columns - last_columns_);
      wait = std::min(wait, (level - std::log(kTailTarget)) / fall);
    }
    last_columns_ = columns;
    last_level_ = level;
    next_ = columns + std::max<int64_t>(kBlock, static_cast<int64_t>(wait));
  }

 private:
  int64_t next_, last_columns_ = 0;
  double last_level_ = 0;
};

/// Block Golub-Kahan-Lanczos on w [m, n], n ≤ m, spaces kept as rows: W V = U B holds exactly, the left residual
/// comes from the next panel alone. Nothing if the space would exceed `limit` vectors or breaks down before both
/// residuals are small.
std::optional<SingularTriples> krylov(const torch::Tensor& w, int64_t rank, int64_t limit, uint64_t seed) {
  const int64_t m = w.size(0), n = w.size(1);
  const double scale = w.norm().item<double>();
  torch::Tensor v_space = torch::empty({limit + kBlock, n}, w.options()),
                u_space = torch::empty({limit, m}, w.options());
  torch::Tensor b = torch::zeros({limit, limit}, w.options());  // Uᵀ W V
  torch::Tensor start = v_space.narrow(0, 0, kBlock);
  fill_normal(std::span(start.mutable_data_ptr<double>(), start.numel()), derive_seed(seed, "krylov start"), 1.0);
  orthonormalize_rows_(start);
  int64_t products = 0;
  CheckSchedule schedule(3 * rank);
  for (int64_t size = 0; size + kBlock <= limit;) {
    const torch::Tensor image = times_rows(v_space.narrow(0, size, kBlock), w);  // [block, m]: (W v)ᵀ
    const auto u_panel = orthonormal_panel(image, u_space.narrow(0, 0, size), scale);
    if (!u_panel) return std::nullopt;
    u_space.narrow(0, size, kBlock).copy_(*u_panel);
    size += kBlock;
    b.narrow(0, 0, size).narrow(1, size - kBlock, kBlock).copy_(times_rows(image, u_space.narrow(0, 0, size)).t());
    torch::Tensor coupling;  // [block, block]: what Wᵀ of the last U panel has beyond the V space
    const auto v_panel = orthonormal_panel(combined_rows(*u_panel, w), v_space.narrow(0, 0, size), scale, &coupling);
    if (!v_panel) return std::nullopt;
    v_space.narrow(0, size, kBlock).copy_(*v_panel);
    products += 2 * kBlock;
    if (size < rank || (!schedule.due(size) && size + kBlock <= limit)) continue;
    const auto [p, s, qh] = at::linalg_svd(b.narrow(0, 0, size).narrow(1, 0, size), false);
    const torch::Tensor tail = coupling.t().matmul(p.narrow(0, size - kBlock, kBlock).narrow(1, 0, rank));
    const double predicted = tail.norm(2, 0).max().item<double>() / s[0].item<double>();
    schedule.missed(size, predicted);
    if (predicted > kTailTarget) continue;
    SingularTriples triples{.u = combined_rows(p.narrow(1, 0, rank).t(), u_space.narrow(0, 0, size)).t(),
                            .s = s.narrow(0, 0, rank).contiguous(),
                            .v = combined_rows(qh.narrow(0, 0, rank), v_space.narrow(0, 0, size)).t(),
                            .products = products};
    measure_residuals(w, triples);
    if (std::max(triples.left_residual, triples.right_residual) <= kResidual) return triples;
  }
  return std::nullopt;
}

}  // namespace

void check_finite(const torch::Tensor& matrix, const std::string& name) {
  if (matrix.isfinite().all().item<bool>()) return;
  throw Error(concat(name,
                     ": expected finite numbers, found NaN or infinity; weights of the base model are damaged, or "
                     "too large for the precision"));
}

SingularTriples leading_triples(const torch::Tensor& weight, int64_t rank, uint64_t seed) {
  torch::NoGradGuard no_grad;
  check_finite(weight, "the matrix to decompose");
  const torch::Tensor w = weight.to(torch::kFloat64).contiguous();
  const int64_t width = std::min(w.size(0), w.size(1));
  TORCH_CHECK(rank >= 1 && rank <= width, "leading_triples: rank ", rank, " of ", w.sizes());
  const int64_t limit = width / 2 / kBlock * kBlock;
  std::optional<SingularTriples> found;
  // Below a few ranks of room the space would hit its limit anyway: go dense at once.
  if (limit >= 3 * rank) {
    const bool wide = w.size(1) > w.size(0);
    found = krylov(wide ? w.t().contiguous() : w, rank, limit, seed);
    if (found && wide) {
      std::swap(found->u, found->v);
      std::swap(found->left_residual, found->right_residual);
    }
  }
  if (!found) {
    found = from_gram(w, rank);
    const bool exact = std::max(found->left_residual, found->right_residual) <= kResidual;  // false for NaN
    if (!exact || found->s[-1].item<double>() < kGramRange * found->s[0].item<double>()) found = from_svd(w, rank);
  }
  SingularTriples triples = std::move(*found);
  fix_signs(triples);
  return triples;
}

SingularTriples all_triples(const torch::Tensor& weight) {
  torch::NoGradGuard no_grad;
  check_finite(weight, "the matrix to decompose");
  const torch::Tensor w = weight.to(torch::kFloat64).contiguous();
  SingularTriples triples = from_svd(w, std::min(w.size(0), w.size(1)));
  fix_signs(triples);
  return triples;
}

}  // namespace loraxs
