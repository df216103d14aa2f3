"""A study file, parsed and validated once into frozen data."""

from study.config.comparing import differences as differences
from study.config.errors import ConfigError as ConfigError
from study.config.reading import load_config as load_config
from study.config.reading import load_resolved as load_resolved
from study.config.reading import parse_config as parse_config
from study.config.reading import parse_resolved as parse_resolved
from study.config.reading import to_yaml as to_yaml
from study.config.schema import BudgetSection as BudgetSection
from study.config.schema import EncoderSection as EncoderSection
from study.config.schema import ResourcesSection as ResourcesSection
from study.config.schema import Splits as Splits
from study.config.study_file import StudyConfig as StudyConfig
from study.config.values import Sampler as Sampler
