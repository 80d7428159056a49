// train/input_basis.h: a basis of what projections do to real text: the leading singular vectors of W Σ_x^{1/2} instead
// of W, Σ_x the second moment of the projection's inputs.
#pragma once
#include "adapt/basis.h"
#include "adapt/layout.h"
#include "data/example_view.h"
#include "model/base_model.h"

namespace loraxs {

/// Of variant `inputs`, for the sites of `layout`: b the leading eigenvectors U of W (Σ_x + ε) Wᵀ, a = Uᵀ W, so that
/// b a x is the best approximation of W x at its rank in the mean over the examples' tokens. ε, a thousandth of the
/// mean of Σ_x's diagonal, decides between directions that the examples do not use. Without sigma the rows of a are
/// divided by their singular values. float32 forward of the base without dropout, moments in float64; memory: out² × 8
/// bytes a site. basis_id and path are empty.
Basis input_basis(const BaseModel& model, const Layout& layout, const BasisRecipe& recipe, const ExampleView& examples);

/// The examples whose inputs are looked at, evenly over all.
ExampleView input_examples(const ExampleView& train);

}  // namespace loraxs
