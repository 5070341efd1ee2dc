"""How TensorFlow traces our functions: as they are written."""

import tensorflow as tf

# AutoGraph rewrites the `if`, `for` and `and` of tensors. Ours branch with `tf.cond` and the like,
# so there is none, but reading the functions took half of the time to the first view (2 s of CPU).
as_written = tf.autograph.experimental.do_not_convert
