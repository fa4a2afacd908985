"""How good are labels without training, and which form of question and which decision is best?"""
