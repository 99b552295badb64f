# cmake -DPLAN=build/plan.md -DPAGE=docs/reference/plan.md -P compare_plan.cmake: fails where the page does
# not hold the table that the build printed. Copy it there when a room changes.
file(READ ${PLAN} plan)
file(READ ${PAGE} page)
string(FIND "${page}" "${plan}" place)
if(place EQUAL -1)
  message(FATAL_ERROR "${PAGE} must hold the plan as CMakeLists.txt has it; copy it from ${PLAN}")
endif()
