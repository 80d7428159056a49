#include "train/job_row.h"

#include "adapt/fresh_head.h"

namespace loraxs {
namespace {

Bank zero_rows(const TrainSetup& setup, int64_t rows) {
  const auto type = setup.dtype == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  Bank bank = make_bank(setup.layout, setup.recipe.method.alpha, rows, type);
  for (int64_t row = 0; row < rows; ++row) bank.set_labels(row, setup.labels);
  return bank;
}

}  // namespace

std::shared_ptr<Bank> make_job_bank(const TrainSetup& setup, int64_t rows) {
  auto bank = std::make_shared<Bank>(zero_rows(setup, rows));
  bank->trains_sites = setup.recipe.method.train_sites;
  bank->dropout = setup.recipe.method.dropout;
  bank->values = bank->values.to(setup.device);
  bank->gradients = torch::zeros_like(bank->values);
  return bank;
}

torch::Tensor first_row(const TrainSetup& setup, const Job& job) {
  const MethodRecipe& method = setup.recipe.method;
  const MethodStart start{.job_seed = job.key,
                          .alpha = method.alpha,
                          .init_std = method.train_sites ? method.init_std : 0.0,
                          .init = method.init,
                          .d_initial = method.d_initial,
                          .basis = setup.basis.get(),
                          .model = &setup.model};
  Bank one = zero_rows(setup, 1);
  initialize_row(one, 0, start, setup.model.config.initializer_range, pretrained_dense(setup.model));
  const torch::Tensor row = one.values.select(0, 0);
  if (setup.start) {
    row.narrow(0, 0, setup.start->numbers.numel()).copy_(setup.start->numbers_at(job.learning_rate));
  }
  return row;
}

}  // namespace loraxs
