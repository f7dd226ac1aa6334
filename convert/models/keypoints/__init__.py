"""RF-DETR with keypoints: the model, which transformers has no class for, and the names of the keypoints of each class."""
