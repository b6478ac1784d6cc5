/* What accompanies the model in service. SPDX-License-Identifier: Apache-2.0 */
#include "serving.h"

#include "metering.h"
#include "model.h"
#include "observing.h"

void serving_start(void)
{
    const struct observed observed = {
        .capsule = model_capsule(),
        .input = model_first_input(),
        .output = model_output(0, 0, 0),
        .inferences = &model_counts.inferences,
        .refused = &model_counts.refused,
    };

    metering_start(observed.capsule);
    observing_start(&observed);
}
