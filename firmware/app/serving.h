/* What accompanies the model in service. SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVING_H
#define SERVING_H

/* Opens its meter and begins its statistics; call it once the model is mounted. */
void serving_start(void);

#endif
