"""Where models served by the version before look for encoders in a process that has imported this version."""

from trainables.saving.export import TrainedEncoder as TrainedEncoder
from trainables.saving.export import load_encoder as load_encoder
