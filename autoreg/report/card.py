def model_card(r): return ""
