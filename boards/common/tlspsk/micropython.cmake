# MicroPython's ESP32 port: named in USER_C_MODULES, by ../mqboard.cmake.
add_library(usermod_tlspsk INTERFACE)
target_sources(usermod_tlspsk INTERFACE ${CMAKE_CURRENT_LIST_DIR}/tlspsk.c)
target_include_directories(usermod_tlspsk INTERFACE ${CMAKE_CURRENT_LIST_DIR})
target_link_libraries(usermod INTERFACE usermod_tlspsk)
