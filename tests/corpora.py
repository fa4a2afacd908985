"""Small corpora as their publishers write them, made up.

from corpora import MELD, write_session
"""

MELD = (
    "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime\r\n"
    '1,"Well, it\x92s late.",Ana,sadness,negative,0,0,4,7,"00:00:01,000","00:00:02,000"\r\n'
    '2,"""Late"", you say?",Bo,surprise,positive,0,1,4,7,"00:00:03,000","00:00:04,000"\r\n'
    "3,Hello.,Ana,neutral,neutral,7,0,4,8,0:0:1,0:0:2\r\n"
)

SPOKEN = """Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.
Ses01F_impro01_M000 [007.5712-010.4750]: Do you have your forms?
Ses01F_impro01_FXX0 [008.9000-009.1000]: Mm.
M: and a line that nobody timed
Ses01F_impro01_F001 [010.0100-011.3925]: Yeah; [LAUGHTER] here.
"""
RATED = """% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]
C-E2:\tNeutral;\t()
C-E3:\tNeutral; Frustration;\t()
C-E4:\tFrustration;\t(a comment; with a semicolon)
C-F1:\tNeutral; Other;\t(curious)
A-E3:\tval 3; act 2; dom  2;\t()
A-E4:\tval 2; act 3; dom  3;\t(mixed)

[7.5712 - 10.4750]\tSes01F_impro01_M000\txxx\t[3.0000, 2.0000, 4.5000]
C-E2:\tAnger;\t()
C-E3:\tNeutral state;\t()
C-E4:\tExcited;\t()
C-M1:\tAnger;\t()

[10.0100 - 11.3925]\tSes01F_impro01_F001\texc\t[4.0000, 4.0000, 3.0000]
C-E2:\tHappiness; Excited;\t()
"""


def write_session(root, number=1, spoken=SPOKEN, rated=RATED):
    for folder, text in (("transcriptions", spoken), ("EmoEvaluation", rated)):
        path = root / f"Session{number}" / "dialog" / folder / f"Ses0{number}F_impro01.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("Ses01", f"Ses0{number}"))
    return root
