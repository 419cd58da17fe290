#include "world.h"
TEST(smoke) {
    world_begin(0);
    struct bh_pool_options o = world_options();
    bh_pool *pool = world_open(&o);
    CHECK_INT(world_ask(pool,"reply 5")->outcome, BH_OUTCOME_REPLIED);
    CHECK_INT(world_ask(pool,"die 5")->outcome, BH_OUTCOME_DIED);
    CHECK_INT(world_ask(pool,"reply 5")->outcome, BH_OUTCOME_REPLIED);
    world_close(pool);
    CHECK_STR(world.log, "");
    world_end();
}
