#include "base/plant.h"

enum plant plant_chosen = PLANT_NONE;
