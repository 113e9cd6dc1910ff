"""The torchvision video classification models as vidcore extractors."""
