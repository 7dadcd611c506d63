"""Looking into sets of word images: what they hold, and what they share."""

from mms_ocr.dataset_tools.inspection.contamination import Contamination, Match, find_contamination
from mms_ocr.dataset_tools.inspection.fingerprints import Fingerprint, fingerprints
from mms_ocr.dataset_tools.inspection.report import describe_survey, draw_surveys
from mms_ocr.dataset_tools.inspection.survey import Survey, survey_of

__all__ = [
    "Contamination",
    "Fingerprint",
    "Match",
    "Survey",
    "describe_survey",
    "draw_surveys",
    "find_contamination",
    "fingerprints",
    "survey_of",
]
